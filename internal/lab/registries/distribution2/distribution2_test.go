package distribution2

import (
	"io"
	"testing"

	"github.com/docker/distribution/configuration"
	"github.com/docker/distribution/registry/handlers"
	_ "github.com/docker/distribution/registry/storage/driver/inmemory"
	"github.com/sirupsen/logrus"

	"github.com/OpenHands/eval-images/internal/lab/registries"
)

func TestDistribution2(t *testing.T) {
	logrus.SetOutput(io.Discard) // it logs every request
	for _, deletes := range []bool{false, true} {
		c := &configuration.Configuration{Storage: configuration.Storage{"inmemory": nil, "delete": {"enabled": deletes}}}
		c.HTTP.Secret = "secret"
		registries.Check(t, handlers.NewApp(t.Context(), c), false, deletes)
	}
}
