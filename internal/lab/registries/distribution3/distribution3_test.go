package distribution3

import (
	"io"
	"testing"

	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/inmemory"
	"github.com/sirupsen/logrus"

	"github.com/OpenHands/eval-images/internal/lab/registries"
)

func TestDistribution3(t *testing.T) {
	logrus.SetOutput(io.Discard) // it logs every request
	for _, deletes := range []bool{false, true} {
		c := &configuration.Configuration{Storage: configuration.Storage{"inmemory": nil, "delete": {"enabled": deletes}}}
		c.HTTP.Secret = "secret"
		registries.Check(t, handlers.NewApp(t.Context(), c), deletes, deletes)
	}
}
