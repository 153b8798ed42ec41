package frmcore

import (
	"context"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/vmihailenco/msgpack/v5"
)

const reloadTime = 10 * time.Minute // windows that are filled from a long journal take some

// File is a file of a policy: its path from the main one's folder, with slashes, and its text.
type File struct {
	Name, Text string
}

// ReadPolicy reads a policy's files: the main one, and those that it includes or reads lists and tables from, by their
// paths in its folder. A workbook is not read: `frmcore reload` does that.
func ReadPolicy(main string, others ...string) ([]File, error) {
	folder, name := filepath.Split(main)
	files := make([]File, 0, 1+len(others))
	for _, each := range append([]string{name}, others...) {
		data, err := os.ReadFile(filepath.Join(folder, filepath.FromSlash(each)))
		if err != nil {
			return nil, err
		}
		files = append(files, File{path.Clean(each), textOf(each, data)})
	}
	return files, nil
}

// textOf has a character for each byte of a file that is no text.
func textOf(name string, data []byte) string {
	if !strings.HasSuffix(strings.ToLower(name), ".parquet") {
		return string(data)
	}
	var text strings.Builder
	for _, each := range data {
		text.WriteRune(rune(each))
	}
	return text.String()
}

// policyFiles travel as a map in their order: the main one is the first.
type policyFiles []File

func (p policyFiles) EncodeMsgpack(encoder *msgpack.Encoder) error {
	if err := encoder.EncodeMapLen(len(p)); err != nil {
		return err
	}
	for _, each := range p {
		if err := encoder.EncodeMulti(each.Name, each.Text); err != nil {
			return err
		}
	}
	return nil
}

func (p *policyFiles) DecodeMsgpack(decoder *msgpack.Decoder) error {
	size, err := decoder.DecodeMapLen()
	if err != nil {
		return err
	}
	*p = nil
	for range size {
		var each File
		if err := decoder.DecodeMulti(&each.Name, &each.Text); err != nil {
			return err
		}
		*p = append(*p, each)
	}
	return nil
}

// Policy gives the files of the policy in force, the main one first.
func (c *Client) Policy(ctx context.Context) ([]File, error) {
	var files policyFiles
	err := c.ask(ctx, &files, "policy")
	return files, err
}

// Reload puts another policy in force, the main file first; false where it is in force already. Windows that are new are
// filled from the journal: a context without a deadline gives it 10 minutes. A policy that is wrong is a PolicyError,
// with its Problems, and the one before stays.
func (c *Client) Reload(ctx context.Context, files []File) (bool, error) {
	ctx, cancel := within(ctx, max(reloadTime, c.options.Timeout))
	defer cancel()
	var changed bool
	err := c.ask(ctx, &changed, "reload", policyFiles(files))
	return changed, err
}
