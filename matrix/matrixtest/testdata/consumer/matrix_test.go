package consumer

import (
	"cmp"
	"os"
	"testing"

	"github.com/zmqmatrix/zmqmatrix/matrix/matrixtest"
)

func TestMatrix(t *testing.T) {
	matrixtest.Run(t, matrixtest.Options{Targets: []string{"c", "go"}, Runtime: cmp.Or(os.Getenv("RUNTIME"), "local")})
}
