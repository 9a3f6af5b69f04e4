//! How a test says that it runs inside a guest only.

/// Ends the calling test, as skipped, unless it runs in a guest of this group: `needs!(Rdma)`.
///
/// Such a test stands in a module `in_guest`: the suite `guest` of `cargo xtask test` runs its test program in a guest, the other suites leave
/// it out.
///
/// ```
/// mod in_guest {
///     // with #[test] above it
///     fn the_port_is_up() {
///         hemi_guest::needs!(Rdma);
///         assert!(std::fs::exists("/sys/class/infiniband/rxe0").unwrap());
///     }
/// #   pub(super) fn run() { the_port_is_up() }
/// }
/// # in_guest::run();
/// ```
#[macro_export]
macro_rules! needs {
    ($group:ident) => {
        if $crate::here() != ::core::option::Option::Some($crate::Group::$group) {
            $crate::hemi_skip::skip!(
                "it runs in a guest of the group `{}`: cargo xtask test --only guest",
                $crate::Group::$group
            );
        }
    };
}
