package hdr

import (
	"go.k6.io/k6/v2/js/modules"
	"go.k6.io/k6/v2/output"
)

func init() {
	modules.Register("k6/x/hdr", rootModule{})
	output.RegisterExtension("hdr", newOutput)
}
