package redisstock

import "strconv"

// slots is how many hash slots Redis Cluster has.
const slots = 16384

// slotOf is the hash slot of a tag, as Redis Cluster counts it: CRC-16/XMODEM.
func slotOf(tag string) int64 {
	var crc uint16
	for i := range len(tag) {
		crc ^= uint16(tag[i]) << 8
		for range 8 {
			carry := crc&0x8000 != 0
			crc <<= 1
			if carry {
				crc ^= 0x1021
			}
		}
	}
	return int64(crc % slots)
}

// tagsOf are the hash tags of a sale's buckets, without their braces. The slots are cut into as many equal parts as
// there are buckets, and the tag of bucket b of B is the first S:b/B-k, k = 0, 1, …, whose slot is in part b. Masters
// have their slots in one piece each, as a rule, so that the buckets lie on as many masters as they can. Without the k
// chance would not decide either: the tags of all sales would be alike, since a CRC is linear, and eight buckets would
// always be on four of eight masters.
func tagsOf(sale, buckets int64) []string {
	s := strconv.FormatInt(sale, 10)
	if buckets == 1 {
		return []string{s}
	}
	tags := make([]string, buckets)
	for b := range buckets {
		stem := s + ":" + strconv.FormatInt(b, 10) + "/" + strconv.FormatInt(buckets, 10) + "-"
		for k := int64(0); ; k++ {
			tags[b] = stem + strconv.FormatInt(k, 10)
			if slotOf(tags[b])*buckets/slots == b {
				break
			}
		}
	}
	return tags
}
