//go:build !unix

package diskqueue

import "os"

func blocks(info os.FileInfo) int64 { return info.Size() }
