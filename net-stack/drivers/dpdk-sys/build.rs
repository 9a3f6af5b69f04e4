//! Finds DPDK by pkg-config, compiles the shim, makes the bindings. Where there is no DPDK, the crate is empty and says why.

fn main() {
    println!("cargo::rustc-check-cfg=cfg(dpdk)");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=shim");
    #[cfg(feature = "bindings")]
    if let Err(why) = bindings::make() {
        println!("cargo::warning=dpdk: {why}; the DPDK driver is left out of this build");
    }
}

#[cfg(feature = "bindings")]
mod bindings {
    use std::{env, panic::AssertUnwindSafe, path::PathBuf};

    /// The libraries that the bindings call. EAL loads the drivers itself, from a folder that it knows.
    const LIBRARIES: [&str; 6] =
        ["rte_eal", "rte_ethdev", "rte_mbuf", "rte_mempool", "rte_ring", "rte_kvargs"];

    /// What of DPDK is bound, besides the shim.
    const FUNCTIONS: [&str; 43] = [
        "rte_eal_init",
        "rte_eal_hotplug_add",
        "rte_eal_hotplug_remove",
        "rte_strerror",
        "rte_version",
        "rte_openlog_stream",
        "rte_log_set_global_level",
        "rte_eth_dev_get_port_by_name",
        "rte_eth_dev_info_get",
        "rte_eth_dev_configure",
        "rte_eth_dev_adjust_nb_rx_tx_desc",
        "rte_eth_rx_queue_setup",
        "rte_eth_tx_queue_setup",
        "rte_eth_dev_start",
        "rte_eth_dev_stop",
        "rte_eth_dev_close",
        "rte_eth_dev_is_removed",
        "rte_eth_macaddr_get",
        "rte_eth_dev_mac_addr_add",
        "rte_eth_promiscuous_enable",
        "rte_eth_allmulticast_enable",
        "rte_eth_dev_get_mtu",
        "rte_eth_dev_set_mtu",
        "rte_eth_link_get_nowait",
        "rte_eth_stats_get",
        "rte_eth_xstats_get",
        "rte_eth_xstats_get_names",
        "rte_eth_dev_count_avail",
        "rte_eth_find_next",
        "rte_eth_dev_get_name_by_port",
        "rte_pktmbuf_pool_create",
        "rte_pktmbuf_free_bulk",
        "rte_mempool_free",
        "rte_mempool_avail_count",
        "rte_zmalloc",
        "rte_free",
        "rte_eal_iova_mode",
        "rte_thread_unregister",
        "rte_eth_tx_done_cleanup",
        "rte_eth_dev_rss_hash_update",
        "rte_eth_dev_rss_hash_conf_get",
        "rte_eth_dev_rss_reta_update",
        "rte_eth_dev_rss_reta_query",
    ];

    pub(crate) fn make() -> Result<(), String> {
        let found = pkg_config::Config::new()
            .atleast_version("22.11")
            .cargo_metadata(false)
            .env_metadata(true)
            .probe("libdpdk")
            .map_err(|_| {
                "pkg-config finds no libdpdk of 22.11 or later (apt-get install libdpdk-dev)".to_owned()
            })?;
        let flags = flags()?;

        let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("no OUT_DIR")?);
        let builder = bindgen::Builder::default()
            .header("shim/shim.h")
            .clang_args(&flags)
            .allowlist_function("hemi_dpdk_.*")
            .allowlist_type("hemi_dpdk_mbuf")
            .allowlist_function(FUNCTIONS.join("|"))
            .allowlist_var("RTE_PKTMBUF_HEADROOM|RTE_ETH_RETA_GROUP_SIZE")
            .opaque_type(
                "rte_mbuf|rte_mbuf_ext_shared_info|rte_mempool|rte_device|_IO_FILE|rte_eth_dev_portconf",
            )
            .prepend_enum_name(false)
            .layout_tests(false)
            .derive_default(true)
            .generate_comments(false);
        // Without a libclang it panics.
        let bindings = std::panic::catch_unwind(AssertUnwindSafe(|| builder.generate()))
            .map_err(|_| "bindgen finds no libclang (apt-get install libclang-dev)".to_owned())?
            .map_err(|e| format!("bindgen: {e}"))?;
        bindings.write_to_file(out.join("bindings.rs")).map_err(|e| e.to_string())?;

        let mut shim = cc::Build::new();
        shim.file("shim/shim.c").opt_level(2).warnings(false);
        for flag in &flags {
            shim.flag(flag);
        }
        shim.try_compile("hemi_dpdk_shim").map_err(|e| format!("the shim does not compile: {e}"))?;

        for folder in &found.link_paths {
            println!("cargo::rustc-link-search=native={}", folder.display());
        }
        for library in LIBRARIES {
            println!("cargo::rustc-link-lib={library}");
        }
        println!("cargo::rustc-cfg=dpdk");
        println!("cargo::metadata=VERSION={}", found.version);
        Ok(())
    }

    /// The flags as pkg-config gives them: the crate parses them, and loses `-include rte_config.h` and `-march`, without which the
    /// headers mean something else.
    fn flags() -> Result<Vec<String>, String> {
        let pkg_config = env::var_os("PKG_CONFIG").unwrap_or_else(|| "pkg-config".into());
        let output = std::process::Command::new(pkg_config)
            .args(["--cflags", "libdpdk"])
            .output()
            .map_err(|e| format!("pkg-config: {e}"))?;
        Ok(String::from_utf8_lossy(&output.stdout).split_whitespace().map(str::to_owned).collect())
    }
}
