#include "shim.h"

int hemi_dpdk_errno(void)
{
	return rte_errno;
}

uint16_t hemi_dpdk_rx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **bufs, uint16_t count)
{
	return rte_eth_rx_burst(port, queue, bufs, count);
}

uint16_t hemi_dpdk_tx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **bufs, uint16_t count)
{
	return rte_eth_tx_burst(port, queue, bufs, count);
}

int hemi_dpdk_alloc_bulk(struct rte_mempool *pool, struct rte_mbuf **bufs, unsigned int count)
{
	return rte_pktmbuf_alloc_bulk(pool, bufs, count);
}

void hemi_dpdk_free(struct rte_mbuf *buf)
{
	rte_pktmbuf_free(buf);
}

void hemi_dpdk_segment(const struct rte_mbuf *buf, struct hemi_dpdk_segment *out)
{
	out->buffer = buf->buf_addr;
	out->buffer_len = buf->buf_len;
	out->offset = buf->data_off;
	out->len = buf->data_len;
	out->packet_len = buf->pkt_len;
	out->flags = buf->ol_flags;
	out->next = buf->next;
}

int hemi_dpdk_checksum_good(uint64_t flags)
{
	uint64_t l4 = flags & RTE_MBUF_F_RX_L4_CKSUM_MASK;

	/* NONE: not in the packet, but its data is intact (a virtual device's unfinished checksum). */
	return l4 == RTE_MBUF_F_RX_L4_CKSUM_GOOD || l4 == RTE_MBUF_F_RX_L4_CKSUM_NONE;
}

uint8_t *hemi_dpdk_append(struct rte_mbuf *buf, uint16_t len)
{
	return (uint8_t *)rte_pktmbuf_append(buf, len);
}

void hemi_dpdk_ask_checksum(struct rte_mbuf *buf, int tcp, int v4, uint16_t ip_header_len)
{
	buf->l2_len = RTE_ETHER_HDR_LEN;
	buf->l3_len = ip_header_len;
	buf->ol_flags |= (tcp ? RTE_MBUF_F_TX_TCP_CKSUM : RTE_MBUF_F_TX_UDP_CKSUM)
		| (v4 ? RTE_MBUF_F_TX_IPV4 : RTE_MBUF_F_TX_IPV6);
}

uint64_t hemi_dpdk_tx_checksums(void)
{
	return RTE_ETH_TX_OFFLOAD_TCP_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM;
}

uint64_t hemi_dpdk_rx_checksums(void)
{
	return RTE_ETH_RX_OFFLOAD_TCP_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM;
}

uint64_t hemi_dpdk_rss_types(void)
{
	return RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP;
}
