package imagediff

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"
)

// checkDifferences checks that each difference is one line of a report.
func checkDifferences(t *testing.T, found []Difference) {
	t.Helper()
	for _, d := range found {
		if said := d.String(); len(said) > 3000 || strings.ContainsAny(said, "\n\r\x1b\x00") {
			t.Errorf("a difference is %q", said)
		}
	}
}

func tarOf(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		if err := w.WriteHeader(e.full()); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(e.content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// imageWith is an image of one layer with any content.
func (b *blobs) imageWith(layer []byte, mediaType string) Image {
	config := fmt.Sprintf(`{"rootfs":{"diff_ids":[%q]}}`, digestOf(layer))
	manifest := fmt.Sprintf(`{"config":{"digest":%q},"layers":[{"mediaType":%q,"digest":%q}]}`, digestOf([]byte(config)), mediaType, b.put(layer))
	return Image{Repository: "r", Manifest: []byte(manifest), Config: []byte(config)}
}

// A layer may hold anything: it is an error, or differences of one line each.
func FuzzLayer(f *testing.F) {
	f.Add(tarOf(f, regular("a", "1"), dir("b"), symlink("b/c", "../../etc"), link("d", "a"), regular(".wh.x", ""), regular("b/.wh..wh..opq", "")), 0)
	f.Add(tarOf(f, regular("../../x\n::error::", "1"), regular("etc/shadow", "a:b:1:\n"), regular("a.pyc", "0123456789abcdefgh")), 0)
	f.Add([]byte("\x1f\x8b\x08\x00"), 1)
	f.Add([]byte{0x28, 0xb5, 0x2f, 0xfd}, 2)
	f.Fuzz(func(t *testing.T, layer []byte, kind int) {
		b := store()
		given := b.imageWith(layer, []string{plainTar, gzipped, zstandar}[uint(kind)%3])
		wanted := b.imageWith(tarOf(t, regular("a", "2"), link("b", "a"), dir("c")), plainTar)
		for _, o := range []Options{{Tree: true, BaseLayers: [2]int{1, 1}}, {}} {
			found, err := Compare(t.Context(), b, wanted, given, o)
			checkDifferences(t, found)
			if err != nil && (len(err.Error()) > 1000 || strings.ContainsAny(err.Error(), "\n\x1b")) {
				t.Errorf("the error is %q", err)
			}
		}
	})
}

func FuzzConfig(f *testing.F) {
	f.Add(`{"config":{"Env":["A=1"],"Labels":{"a":"b"}},"os":"linux"}`, `{"config":{"Env":["B=1","A"],"Labels":null}}`)
	f.Add(`{"\u001b[2J\n::error::":{"":[]}}`, `{"config":1}`)
	f.Add(strings.Repeat(`{"a":`, 5000)+"1"+strings.Repeat("}", 5000), strings.Repeat(`{"a":`, 5000)+"2"+strings.Repeat("}", 5000))
	f.Fuzz(func(t *testing.T, wanted, given string) {
		found, err := compareConfigs([]byte(wanted), []byte(given))
		checkDifferences(t, found)
		if same, _ := compareConfigs([]byte(wanted), []byte(wanted)); err == nil && len(same) > 0 {
			t.Errorf("it differs from itself: %s", same)
		}
	})
}

// sparseFile is a tar stream with a file of size bytes, all of it a hole (GNU tar, "Old GNU format").
func sparseFile(size uint64) []byte {
	b := make([]byte, 512*3)
	copy(b, "a")
	for at, text := range map[int]string{100: "0000644", 108: "0000000", 116: "0000000", 124: "00000000000", 136: "00000000000", 148: "        ", 156: "S", 257: "ustar  "} {
		copy(b[at:], text)
	}
	for _, at := range []int{386, 483} { // the only part begins at the end; then the size
		b[at] = 0x80
		binary.BigEndian.PutUint64(b[at+4:], size)
	}
	copy(b[398:], "00000000000") // and has no bytes
	sum := 0
	for _, c := range b[:512] {
		sum += int(c)
	}
	copy(b[148:], fmt.Sprintf("%06o\x00 ", sum))
	return b
}

// What a layer or a configuration of kilobytes can hold without end ends in an error, or in a moment.
func TestBombs(t *testing.T) {
	links := []entry{regular("a", "1")}
	for i := range 50_000 {
		links = append(links, link(fmt.Sprintf("links/%d", i), "a"))
	}
	xattrs := []entry{}
	for i := range 40 {
		xattrs = append(xattrs, regular(fmt.Sprintf("x%d", i), "").xattr("user.a", fmt.Sprint(i)+strings.Repeat("x", 1<<19)))
	}
	cases := map[string]struct {
		layer []byte
		says  string
	}{
		"one file by 50,000 names":           {tarOf(t, links...), ""},
		"40 x 512 kB of extended attributes": {tarOf(t, xattrs...), ""},
		"a path of 10,000 bytes":             {tarOf(t, regular(strings.Repeat("a/", 5000)+"b", "")), "its path or link has more than 4096 bytes"},
		"a file of an exabyte, in 512 bytes": {sparseFile(1 << 60), "the layers have files of more than 64 GB"},
		"a link of 10,000 bytes":             {tarOf(t, symlink("a", strings.Repeat("a/", 5000))), "its path or link has more than 4096 bytes"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			b := store()
			begin := time.Now()
			found, err := Compare(t.Context(), b, b.imageWith(tarOf(t, regular("a", "2")), plainTar), b.imageWith(c.layer, plainTar),
				Options{Tree: true, BaseLayers: [2]int{1, 1}})
			checkDifferences(t, found)
			if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("error is %v, want %q", err, c.says)
			}
			if took := time.Since(begin); took > 20*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
	t.Run("a configuration of 9,000 levels and 256 kB", func(t *testing.T) {
		deep := strings.Repeat(`{"a":`, 9000) + `"` + strings.Repeat("x", 1<<18) + `%s"` + strings.Repeat("}", 9000)
		begin := time.Now()
		found, err := compareConfigs([]byte(fmt.Sprintf(deep, "1")), []byte(fmt.Sprintf(deep, "2")))
		checkDifferences(t, found)
		if took := time.Since(begin); err != nil || len(found) != 1 || took > 10*time.Second {
			t.Errorf("%d differences in %s, error %v", len(found), took, err)
		}
	})
}
