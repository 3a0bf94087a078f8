package ledger

import "math"

// Totals add up what the records say, over all of them. The sdk_ ones are sums over steps that ran at once, in images
// that were built at once: they say where work went, not how long anything took.
type Totals struct {
	DurationSeconds           float64 `json:"cumulative_duration_seconds"`
	RemoteCheckSeconds        float64 `json:"cumulative_remote_check_seconds"`
	BuildSeconds              float64 `json:"cumulative_build_seconds"`
	PostBuildSeconds          float64 `json:"cumulative_post_build_seconds"`
	SDKBuildContextSeconds    float64 `json:"cumulative_sdk_build_context_seconds"`
	SDKBuildxWallClockSeconds float64 `json:"cumulative_sdk_buildx_wall_clock_seconds"`
	SDKCleanupSeconds         float64 `json:"cumulative_sdk_cleanup_seconds"`
	SDKCacheImportSeconds     float64 `json:"cumulative_sdk_cache_import_seconds"`
	SDKCacheExportSeconds     float64 `json:"cumulative_sdk_cache_export_seconds"`
	SDKImageExportSeconds     float64 `json:"cumulative_sdk_image_export_seconds"`
	SDKPushLayersSeconds      float64 `json:"cumulative_sdk_push_layers_seconds"`
	SDKExportManifestSeconds  float64 `json:"cumulative_sdk_export_manifest_seconds"`
	SDKCacheImportMisses      int     `json:"cumulative_sdk_cache_import_misses"`
	SDKCachedSteps            int     `json:"cumulative_sdk_cached_steps"`
}

func totals(entries []Entry) Totals {
	var t Totals
	for _, e := range entries {
		add(&t.DurationSeconds, e.DurationSeconds)
		add(&t.RemoteCheckSeconds, e.RemoteCheckSeconds)
		add(&t.BuildSeconds, e.BuildSeconds)
		add(&t.PostBuildSeconds, e.PostBuildSeconds)
		add(&t.SDKBuildContextSeconds, e.BuildContextSeconds)
		add(&t.SDKBuildxWallClockSeconds, e.BuildxWallClockSeconds)
		add(&t.SDKCleanupSeconds, e.CleanupSeconds)
		add(&t.SDKCacheImportSeconds, e.CacheImportSeconds)
		add(&t.SDKCacheExportSeconds, e.CacheExportSeconds)
		add(&t.SDKImageExportSeconds, e.ImageExportSeconds)
		add(&t.SDKPushLayersSeconds, e.PushLayersSeconds)
		add(&t.SDKExportManifestSeconds, e.ExportManifestSeconds)
		if e.CacheImportMissCount != nil {
			t.SDKCacheImportMisses += *e.CacheImportMissCount
		}
		if e.CachedStepCount != nil {
			t.SDKCachedSteps += *e.CachedStepCount
		}
	}
	return t
}

// add keeps the sum at milliseconds: hundreds of additions of binary fractions show in its last digits otherwise.
func add(sum, value *float64) {
	if value != nil {
		*sum = round(*sum + *value)
	}
}

func mean(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}

// median is the middle of sorted values, or the mean of the two there.
func median(sorted []float64) float64 {
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return mean(sorted[middle-1 : middle+1])
}

// percentile is the smallest of sorted values that p percent of them do not exceed: always one that was measured.
func percentile(sorted []float64, p int) float64 {
	rank := int(math.Ceil(float64(p) / 100 * float64(len(sorted))))
	return sorted[max(rank, 1)-1]
}
