package ledger

import (
	"math"
	"time"
)

// Telemetry is what the SDK says of a build, by the names of the benchmarks repository: the SDK's own with sdk_ before
// them. Seconds are sums over steps that BuildKit runs at once, so they may exceed the wall time.
type Telemetry struct {
	BuildContextSeconds    *float64 `json:"sdk_build_context_seconds"`
	BuildxWallClockSeconds *float64 `json:"sdk_buildx_wall_clock_seconds"`
	CleanupSeconds         *float64 `json:"sdk_cleanup_seconds"`
	CacheImportSeconds     *float64 `json:"sdk_cache_import_seconds"`
	CacheImportMissCount   *int     `json:"sdk_cache_import_miss_count"`
	CacheExportSeconds     *float64 `json:"sdk_cache_export_seconds"`
	ImageExportSeconds     *float64 `json:"sdk_image_export_seconds"`
	PushLayersSeconds      *float64 `json:"sdk_push_layers_seconds"`
	ExportManifestSeconds  *float64 `json:"sdk_export_manifest_seconds"`
	CachedStepCount        *int     `json:"sdk_cached_step_count"`
}

func telemetry(figures map[string]float64) Telemetry {
	seconds := func(name string) *float64 {
		value, ok := figures[name]
		if !ok || !finite(value) {
			return nil
		}
		value = round(value)
		return &value
	}
	count := func(name string) *int {
		value, ok := figures[name]
		if !ok || !finite(value) {
			return nil
		}
		whole := int(value)
		return &whole
	}
	return Telemetry{
		BuildContextSeconds: seconds("build_context_seconds"), BuildxWallClockSeconds: seconds("buildx_wall_clock_seconds"),
		CleanupSeconds: seconds("cleanup_seconds"), CacheImportSeconds: seconds("cache_import_seconds"),
		CacheImportMissCount: count("cache_import_miss_count"), CacheExportSeconds: seconds("cache_export_seconds"),
		ImageExportSeconds: seconds("image_export_seconds"), PushLayersSeconds: seconds("push_layers_seconds"),
		ExportManifestSeconds: seconds("export_manifest_seconds"), CachedStepCount: count("cached_step_count"),
	}
}

// finite says whether JSON can hold v; one NaN would cost the whole line.
func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// round cuts to the milliseconds that the benchmarks repository writes.
func round(seconds float64) float64 { return math.Round(seconds*1000) / 1000 }

// known is d in seconds, or nil when nothing was spent because nothing was done.
func known(d time.Duration) *float64 {
	if d <= 0 {
		return nil
	}
	seconds := round(d.Seconds())
	return &seconds
}
