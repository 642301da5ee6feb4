package agent

import (
	"bytes"
	"io"

	"kip.elotl.co/internal/itzo"
)

// defaultTail is what the file endpoint answers when nothing is asked for.
const defaultTail = 4096

// fileTail reads the end of a file: the last bytes, then of those the last
// lines.
func (a *Agent) fileTail(path string, lines, size int64) ([]byte, error) {
	file, err := a.config.Host.OpenFile(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	switch {
	case size > 0:
		size = min(size, itzo.MaxFileBody)
	case lines > 0:
		size = itzo.MaxFileBody
	default:
		size = defaultTail
	}
	end, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	if _, err := file.Seek(max(end-size, 0), io.SeekStart); err != nil {
		return nil, err
	}
	content, err := io.ReadAll(io.LimitReader(file, min(size, end)))
	if err != nil || lines <= 0 {
		return content, err
	}
	return lastLines(content, lines), nil
}

func lastLines(content []byte, lines int64) []byte {
	end := len(bytes.TrimSuffix(content, []byte("\n")))
	for at := end; ; lines-- {
		at = bytes.LastIndexByte(content[:at], '\n')
		if at < 0 {
			return content
		}
		if lines == 1 {
			return content[at+1:]
		}
	}
}
