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

struct listing {
	struct rte_mbuf **bufs;
	uint32_t room;
	uint32_t count;
};

static void list_one(struct rte_mempool *pool, void *arg, void *obj, unsigned int index)
{
	struct listing *to = arg;

	(void)pool;
	if (index < to->room) {
		to->bufs[index] = obj;
		to->count++;
	}
}

uint32_t hemi_dpdk_list(struct rte_mempool *pool, struct rte_mbuf **bufs, uint32_t room)
{
	struct listing to = { .bufs = bufs, .room = room, .count = 0 };

	rte_mempool_obj_iter(pool, list_one, &to);
	return to.count;
}

void hemi_dpdk_put_bulk(struct rte_mempool *pool, struct rte_mbuf **bufs, unsigned int count)
{
	rte_mempool_put_bulk(pool, (void **)bufs, count);
}

void hemi_dpdk_carry(struct rte_mbuf *buf, struct rte_mbuf_ext_shared_info *shared)
{
	buf->shinfo = shared;
	buf->ol_flags = RTE_MBUF_F_EXTERNAL;
	buf->data_off = 0;
	buf->next = NULL;
	buf->nb_segs = 1;
}

static void carries_nothing(void *addr, void *opaque)
{
	(void)addr;
	(void)opaque;
}

void hemi_dpdk_uncarry(struct rte_mbuf *buf)
{
	struct rte_mbuf_ext_shared_info nobody = { .free_cb = carries_nothing };

	rte_mbuf_ext_refcnt_set(&nobody, 1);
	buf->shinfo = &nobody;
	buf->next = NULL;
	buf->nb_segs = 1;
	rte_mbuf_refcnt_set(buf, 1);
	rte_pktmbuf_free_seg(buf);
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

void hemi_dpdk_ask_segments(struct rte_mbuf *buf, int v4, uint16_t ip_header_len, uint16_t tcp_header_len,
	uint16_t segment)
{
	buf->l2_len = RTE_ETHER_HDR_LEN;
	buf->l3_len = ip_header_len;
	buf->l4_len = tcp_header_len;
	buf->tso_segsz = segment;
	buf->ol_flags |= RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_TCP_CKSUM
		| (v4 ? RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM : RTE_MBUF_F_TX_IPV6);
}

uint16_t hemi_dpdk_tx_prepare(uint16_t port, uint16_t queue, struct rte_mbuf **bufs, uint16_t count)
{
	return rte_eth_tx_prepare(port, queue, bufs, count);
}

int hemi_dpdk_register_thread(void)
{
	if (rte_lcore_id() != LCORE_ID_ANY)
		return 0;
	return rte_thread_register() == 0 ? 1 : -rte_errno;
}

uint64_t hemi_dpdk_checksum_mask(void)
{
	return RTE_MBUF_F_RX_L4_CKSUM_MASK;
}

uint64_t hemi_dpdk_checksum_good(void)
{
	return RTE_MBUF_F_RX_L4_CKSUM_GOOD;
}

uint64_t hemi_dpdk_checksum_none(void)
{
	return RTE_MBUF_F_RX_L4_CKSUM_NONE;
}

uint64_t hemi_dpdk_tx_checksums(void)
{
	return RTE_ETH_TX_OFFLOAD_TCP_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM;
}

uint64_t hemi_dpdk_rx_checksums(void)
{
	return RTE_ETH_RX_OFFLOAD_TCP_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM;
}

uint64_t hemi_dpdk_tso(void)
{
	return RTE_ETH_TX_OFFLOAD_TCP_TSO;
}

uint64_t hemi_dpdk_multi_segment(void)
{
	return RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
}

uint64_t hemi_dpdk_scatter(void)
{
	return RTE_ETH_RX_OFFLOAD_SCATTER;
}

uint64_t hemi_dpdk_lro(void)
{
	return RTE_ETH_RX_OFFLOAD_TCP_LRO;
}

uint64_t hemi_dpdk_rss_types(void)
{
	return RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP;
}

uint64_t hemi_dpdk_rss_ports(void)
{
	return RTE_ETH_RSS_NONFRAG_IPV4_TCP | RTE_ETH_RSS_NONFRAG_IPV4_UDP | RTE_ETH_RSS_NONFRAG_IPV6_TCP
		| RTE_ETH_RSS_NONFRAG_IPV6_UDP;
}
