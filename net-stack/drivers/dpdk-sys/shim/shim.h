/* What is `static inline` in DPDK's headers, as functions, for crate dpdk-sys. */
#include <stdio.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_log.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>

int hemi_dpdk_errno(void);

uint16_t hemi_dpdk_rx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **bufs, uint16_t count);
uint16_t hemi_dpdk_tx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **bufs, uint16_t count);

/* All or nothing; not zero: there are not so many. */
int hemi_dpdk_alloc_bulk(struct rte_mempool *pool, struct rte_mbuf **bufs, unsigned int count);
void hemi_dpdk_free(struct rte_mbuf *buf);

/* A piece of a received packet, as its header says. */
struct hemi_dpdk_segment {
	const uint8_t *buffer;	/* the whole buffer, */
	uint32_t buffer_len;	/* its length, */
	uint32_t offset;	/* and where in it the data is */
	uint32_t len;
	uint32_t packet_len;	/* of the whole packet, in its first piece */
	uint64_t flags;
	const struct rte_mbuf *next;
};
void hemi_dpdk_segment(const struct rte_mbuf *buf, struct hemi_dpdk_segment *out);

/* Not 0: the checksum is right, or the data is known to be. */
int hemi_dpdk_checksum_good(uint64_t flags);

/* Room for len bytes of data at the end; NULL: there is not so much. */
uint8_t *hemi_dpdk_append(struct rte_mbuf *buf, uint16_t len);

/* The device finishes the checksum of TCP (or UDP) over IPv4 (or IPv6). */
void hemi_dpdk_ask_checksum(struct rte_mbuf *buf, int tcp, int v4, uint16_t ip_header_len);

/* Offload bits, which are macros that bindgen cannot evaluate. */
uint64_t hemi_dpdk_tx_checksums(void);
uint64_t hemi_dpdk_rx_checksums(void);
uint64_t hemi_dpdk_rss_types(void);
