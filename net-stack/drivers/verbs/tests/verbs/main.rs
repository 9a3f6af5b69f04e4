//! The transport over real queue pairs: soft-RoCE in a guest (`cargo xtask test --only guest`).

mod in_guest {
    mod death;
    mod lost;
    mod one_sided;
    mod refusals;
    mod rig;
    mod streams;
    mod trouble;
}
