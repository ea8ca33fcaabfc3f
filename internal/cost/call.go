package cost

import "time"

// CallNano is what one call costs in the proxy function, in billionths of a US dollar: the request of its front (rest,
// http, or any other, which asks nothing), at the first tier, that of the function, and its time with memory MiB on an
// architecture (arm64 or x86_64), begun milliseconds counted whole. The queue, the forwarder, logs and transfer are not in it.
func (p *Prices) CallNano(front, architecture string, memory int, took time.Duration) int64 {
	const perMillion = 1e9 / million
	nano := p.LambdaRequests * perMillion
	switch front {
	case "rest":
		nano += p.REST[0].Price * perMillion
	case "http":
		nano += p.HTTP[0].Price * perMillion
	}
	gbs := p.LambdaARM
	if architecture == "x86_64" {
		gbs = p.LambdaX86
	}
	billed := (took + time.Millisecond - 1).Truncate(time.Millisecond)
	return int64(nano + gbs*1e9*float64(memory)/1024*billed.Seconds())
}
