/* What is `static inline` in DPDK's headers, as functions, for crate dpdk-sys. */
#include <stddef.h>
#include <stdio.h>

#include <rte_eal.h>
#include <rte_lcore.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_log.h>
#include <rte_malloc.h>
#include <rte_memory.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>

int hemi_dpdk_errno(void);

uint16_t hemi_dpdk_rx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **bufs, uint16_t count);
uint16_t hemi_dpdk_tx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **bufs, uint16_t count);

/* All or nothing; not zero: there are not so many. */
int hemi_dpdk_alloc_bulk(struct rte_mempool *pool, struct rte_mbuf **bufs, unsigned int count);
void hemi_dpdk_free(struct rte_mbuf *buf);

/* Where the fields of an mbuf are, so that they can be read in place. */
enum hemi_dpdk_mbuf {
	HEMI_MBUF_SIZE = sizeof(struct rte_mbuf),
	HEMI_MBUF_BUF_ADDR = offsetof(struct rte_mbuf, buf_addr),
	HEMI_MBUF_BUF_IOVA = offsetof(struct rte_mbuf, buf_iova),
	HEMI_MBUF_DATA_OFF = offsetof(struct rte_mbuf, data_off),
	HEMI_MBUF_REFCNT = offsetof(struct rte_mbuf, refcnt),
	HEMI_MBUF_NB_SEGS = offsetof(struct rte_mbuf, nb_segs),
	HEMI_MBUF_OL_FLAGS = offsetof(struct rte_mbuf, ol_flags),
	HEMI_MBUF_PKT_LEN = offsetof(struct rte_mbuf, pkt_len),
	HEMI_MBUF_DATA_LEN = offsetof(struct rte_mbuf, data_len),
	HEMI_MBUF_BUF_LEN = offsetof(struct rte_mbuf, buf_len),
	HEMI_MBUF_POOL = offsetof(struct rte_mbuf, pool),
	HEMI_MBUF_NEXT = offsetof(struct rte_mbuf, next),
};

/* All mbufs of a new pool; how many there are. */
uint32_t hemi_dpdk_list(struct rte_mempool *pool, struct rte_mbuf **bufs, uint32_t room);

/* Single whole mbufs, as they were received, back into their pool. */
void hemi_dpdk_put_bulk(struct rte_mempool *pool, struct rte_mbuf **bufs, unsigned int count);

/* Make an mbuf one that carries memory which is not its own, for as long as somebody else has a count of it. */
void hemi_dpdk_carry(struct rte_mbuf *buf, struct rte_mbuf_ext_shared_info *shared);

/* As rte_pktmbuf_free_seg of an mbuf that carries nothing any more. */
void hemi_dpdk_uncarry(struct rte_mbuf *buf);

/* What is known of a received checksum: these bits of the flags, when it is good, and when it is not in the packet
 * but its data is intact (a virtual device's unfinished checksum). */
uint64_t hemi_dpdk_checksum_mask(void);
uint64_t hemi_dpdk_checksum_good(void);
uint64_t hemi_dpdk_checksum_none(void);

/* Room for len bytes of data at the end; NULL: there is not so much. */
uint8_t *hemi_dpdk_append(struct rte_mbuf *buf, uint16_t len);

/* The device finishes the checksum of TCP (or UDP) over IPv4 (or IPv6). */
void hemi_dpdk_ask_checksum(struct rte_mbuf *buf, int tcp, int v4, uint16_t ip_header_len);

/* The device cuts the TCP payload into segments of so many bytes, and finishes all checksums. */
void hemi_dpdk_ask_segments(struct rte_mbuf *buf, int v4, uint16_t ip_header_len, uint16_t tcp_header_len,
	uint16_t segment);

/* What a driver has to do to packets with offloads before they are sent; how many it accepts. */
uint16_t hemi_dpdk_tx_prepare(uint16_t port, uint16_t queue, struct rte_mbuf **bufs, uint16_t count);

/* Give this thread a name of DPDK's (an lcore), and with it caches of mbufs: 1 done, 0 it has one, negative: it is refused. */
int hemi_dpdk_register_thread(void);

/* Offload bits, which are macros that bindgen cannot evaluate. */
uint64_t hemi_dpdk_tx_checksums(void);
uint64_t hemi_dpdk_rx_checksums(void);
uint64_t hemi_dpdk_tso(void);
uint64_t hemi_dpdk_multi_segment(void);
uint64_t hemi_dpdk_scatter(void);
uint64_t hemi_dpdk_lro(void);
uint64_t hemi_dpdk_rss_types(void);
/* Of those, the ones that hash the ports of TCP and UDP over IPv4 and IPv6. */
uint64_t hemi_dpdk_rss_ports(void);
