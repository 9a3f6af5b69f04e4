//! Our declarations against the C headers: sizes, offsets, numbers, by a C program that prints what the compiler says.

use std::{fmt::Write as _, fs, mem, path::Path, process::Command};

use super::{consts::NUMBERS, types::*};

/// `size` of a whole structure, `offset` of fields, as (C expression, our value).
macro_rules! layout {
    ($($kind:ident $name:ident { $($field:ident $(= $c:literal)?),* })*) => {{
        let mut all: Vec<(String, usize)> = Vec::new();
        $(
            layout!(@size all $kind $name);
            $({
                let c: &[&str] = &[$($c,)? stringify!($field)];
                let text = format!("offsetof(struct {}, {})", stringify!($name), c[0]);
                all.push((text, mem::offset_of!($name, $field)));
            })*
        )*
        all
    }};
    (@size $all:ident whole $name:ident) => {
        $all.push((format!("sizeof(struct {})", stringify!($name)), size_of::<$name>()));
    };
    (@size $all:ident front $name:ident) => {};
}

#[test]
fn sizes_offsets_and_numbers_are_the_headers() {
    if !Path::new("/usr/include/rdma/rdma_cma.h").exists() {
        hemi_skip::skip!("the C headers are not installed (apt-get install libibverbs-dev librdmacm-dev)");
    }
    let cc = hemi_skip::program!("cc", "gcc");
    let mut ours = layout! {
        front ibv_context { device, ops, cmd_fd, async_fd }
        whole ibv_context_ops { poll_cq, req_notify_cq, post_srq_recv, post_send }
        front ibv_pd { context }
        whole ibv_mr { addr, length, handle, lkey, rkey }
        front ibv_comp_channel { context, fd }
        front ibv_cq { context }
        front ibv_srq { context }
        front ibv_qp { qp_context, pd, send_cq, recv_cq, srq, handle, qp_num }
        whole rdma_event_channel { fd }
        whole rdma_addr { src = "src_addr", dst = "dst_addr", sgid = "addr.ibaddr.sgid", dgid = "addr.ibaddr.dgid", pkey = "addr.ibaddr.pkey" }
        whole rdma_route { path_rec, num_paths }
        front rdma_cm_id { verbs, channel, context, qp, route, ps, port_num }
        front rdma_cm_event { id, listen_id, event, status, conn = "param.conn" }
        whole rdma_conn_param { private_data, private_data_len, responder_resources, initiator_depth, flow_control, retry_count, rnr_retry_count, srq, qp_num }
        whole ibv_device_attr { node_guid, max_mr_size, max_qp, max_qp_wr, max_sge, max_cqe, max_mr, max_qp_rd_atom, max_qp_init_rd_atom, atomic_cap, max_srq, max_srq_wr, max_srq_sge, max_pkeys, phys_port_cnt }
        whole ibv_port_attr { state, max_mtu, active_mtu, gid_tbl_len, max_msg_sz, lid, link_layer, flags, port_cap_flags2 }
        whole ibv_gid_entry { gid, gid_index, port_num, gid_type, ndev_ifindex }
        whole ibv_async_event { element, event_type }
        whole ibv_wc { wr_id, status, opcode, vendor_err, byte_len, imm_data, qp_num, src_qp, wc_flags, pkey_index, slid, sl, dlid_path_bits }
        whole ibv_srq_init_attr { srq_context, attr }
        whole ibv_srq_attr { max_wr, max_sge, srq_limit }
        whole ibv_qp_cap { max_send_wr, max_recv_wr, max_send_sge, max_recv_sge, max_inline_data }
        whole ibv_qp_init_attr { qp_context, send_cq, recv_cq, srq, cap, qp_type, sq_sig_all }
        whole ibv_global_route { dgid, flow_label, sgid_index, hop_limit, traffic_class }
        whole ibv_ah_attr { grh, dlid, sl, src_path_bits, static_rate, is_global, port_num }
        whole ibv_qp_attr { qp_state, path_mtu, qkey, rq_psn, sq_psn, dest_qp_num, qp_access_flags, cap, ah_attr, alt_ah_attr, pkey_index, max_rd_atomic, max_dest_rd_atomic, min_rnr_timer, port_num, timeout, retry_cnt, rnr_retry, alt_timeout, rate_limit }
        whole ibv_sge { addr, length, lkey }
        whole ibv_send_wr { wr_id, next, sg_list, num_sge, opcode, send_flags, imm_data, wr, _unused = "qp_type" }
        whole ibv_recv_wr { wr_id, next, sg_list, num_sge }
    };
    let target = |field: &str, ours: usize| (format!("offsetof(struct ibv_send_wr, wr.{field})"), ours);
    let wr = mem::offset_of!(ibv_send_wr, wr);
    ours.push(target("rdma.remote_addr", wr + mem::offset_of!(ibv_wr_rdma, remote_addr)));
    ours.push(target("rdma.rkey", wr + mem::offset_of!(ibv_wr_rdma, rkey)));
    ours.push(target("atomic.compare_add", wr + mem::offset_of!(ibv_wr_atomic, compare_add)));
    ours.push(target("atomic.swap", wr + mem::offset_of!(ibv_wr_atomic, swap)));
    ours.push(target("atomic.rkey", wr + mem::offset_of!(ibv_wr_atomic, rkey)));
    let ours: Vec<(String, i64)> = ours
        .into_iter()
        .map(|(c, value)| (c, value as i64))
        .chain(NUMBERS.iter().map(|&(name, value)| (name.to_owned(), value)))
        .collect();

    let theirs = compile_and_run(&cc, &ours);
    assert_eq!(ours.len(), theirs.len());
    for ((what, ours), theirs) in ours.iter().zip(theirs) {
        assert_eq!(*ours, theirs, "{what}");
    }
}

/// What a C program says each expression is.
fn compile_and_run(cc: &Path, expressions: &[(String, i64)]) -> Vec<i64> {
    let mut source = "#include <stddef.h>\n#include <stdio.h>\n#include <infiniband/verbs.h>\n\
                      #include <rdma/rdma_cma.h>\nint main(void) {\n"
        .to_owned();
    for (c, _) in expressions {
        writeln!(source, "printf(\"%lld\\n\", (long long)({c}));").unwrap();
    }
    source.push_str("return 0; }\n");
    let folder = std::env::temp_dir().join(format!("hemi-verbs-layout-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let (text, program) = (folder.join("layout.c"), folder.join("layout"));
    fs::write(&text, source).unwrap();
    let built = Command::new(cc).arg("-o").arg(&program).arg(&text).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let said = Command::new(&program).output().unwrap();
    fs::remove_dir_all(&folder).unwrap();
    String::from_utf8(said.stdout).unwrap().lines().map(|line| line.parse().unwrap()).collect()
}
