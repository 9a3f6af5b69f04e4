//! The contestants, one file each.

pub mod bare;
pub mod compio;
pub mod glommio;
pub mod hemi;
pub mod hemi_net;
pub mod local_pool;
pub mod monoio;
pub mod smol;
pub mod smoltcp;
pub mod tokio;
