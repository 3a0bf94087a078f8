// Package confined reads files that others have written: regular files below a folder, up to a size.
package confined

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
)

// Refused is the error for a file that is there, and that Read does not read.
type Refused struct {
	Name string
	// Reason completes the sentence that begins with the name: "is no regular file".
	Reason string
}

func (e *Refused) Error() string { return e.Name + " " + e.Reason }

// Read reads a file of at most limit bytes below a folder. It follows symbolic links that stay below the folder. The error is a
// *Refused for links that lead out of it, for files that are not regular, which may have no end, and for those that are too large.
// Other errors are an *fs.PathError with the name below the folder.
func Read(folder, name string, limit int64) ([]byte, error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	file, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a named pipe would make open wait
	var path *fs.PathError
	switch {
	case errors.As(err, &path) && strings.Contains(path.Err.Error(), "escapes"): // package os exports no such error
		return nil, &Refused{name, "leads out of its folder"}
	case errors.Is(err, syscall.ENXIO): // a socket
		return nil, &Refused{name, "is no regular file"}
	case err != nil:
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, &Refused{name, "is no regular file"}
	}
	text, err := io.ReadAll(io.LimitReader(file, limit+1))
	if int64(len(text)) > limit {
		return nil, &Refused{name, fmt.Sprintf("has more than %d bytes", limit)}
	}
	return text, err
}
