//! Whether dpdk-sys has found a DPDK.

fn main() {
    println!("cargo::rustc-check-cfg=cfg(dpdk)");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=DEP_DPDK_VERSION");
    if let Ok(version) = std::env::var("DEP_DPDK_VERSION") {
        println!("cargo::rustc-cfg=dpdk");
        println!("cargo::rustc-env=HEMI_DPDK_VERSION={version}");
    }
}
