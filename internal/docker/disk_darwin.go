package docker

import "syscall"

// blockSize is the size of the blocks that statfs counts.
func blockSize(s syscall.Statfs_t) int64 { return int64(s.Bsize) }
