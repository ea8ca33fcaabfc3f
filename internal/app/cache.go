package app

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tapway/tapway/internal/cache"
)

// cacheCollector turns what the cache counts into metrics.
type cacheCollector struct{ cache *cache.Cache }

var (
	descCacheCalls   = prometheus.NewDesc("tapway_cache_calls_total", "Calls of cached routes: hit, miss, or passed because they are not for the cache.", []string{"result"}, nil)
	descCacheAnswers = prometheus.NewDesc("tapway_cache_answers_total", "Answers that were stored, revalidated, invalidated or evicted.", []string{"event"}, nil)
	descCacheEntries = prometheus.NewDesc("tapway_cache_entries", "Entries in the cache.", nil, nil)
	descCacheBytes   = prometheus.NewDesc("tapway_cache_bytes", "Memory of the cache in use.", nil, nil)
	descCacheLimit   = prometheus.NewDesc("tapway_cache_limit_bytes", "Memory that the cache may use.", nil, nil)
)

func (c cacheCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descCacheCalls, descCacheAnswers, descCacheEntries, descCacheBytes, descCacheLimit} {
		ch <- d
	}
}

func (c cacheCollector) Collect(ch chan<- prometheus.Metric) {
	s := c.cache.Stats()
	for result, n := range map[string]uint64{"hit": s.Hits, "miss": s.Misses, "passed": s.Passed} {
		ch <- prometheus.MustNewConstMetric(descCacheCalls, prometheus.CounterValue, float64(n), result)
	}
	for event, n := range map[string]uint64{"stored": s.Stored, "revalidated": s.Revalidated, "invalidated": s.Invalidated, "evicted": s.Evicted} {
		ch <- prometheus.MustNewConstMetric(descCacheAnswers, prometheus.CounterValue, float64(n), event)
	}
	ch <- prometheus.MustNewConstMetric(descCacheEntries, prometheus.GaugeValue, float64(s.Entries))
	ch <- prometheus.MustNewConstMetric(descCacheBytes, prometheus.GaugeValue, float64(s.Bytes))
	ch <- prometheus.MustNewConstMetric(descCacheLimit, prometheus.GaugeValue, float64(s.Limit))
}
