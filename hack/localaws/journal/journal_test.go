package journal

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func open(t *testing.T, path string) *Journal {
	t.Helper()
	j, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j
}

func TestSurvivesRestartAndTornLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.jsonl")
	j := open(t, path)
	first := Entry{Time: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), Action: "RunInstances", Params: map[string]string{"MinCount": "1"}, Created: []string{"i-1"}}
	if err := j.Add(first); err != nil {
		t.Fatal(err)
	}
	if err := j.Add(Entry{Action: "DescribeInstances", Code: "InternalError"}); err != nil {
		t.Fatal(err)
	}
	j.Close()

	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"seq":3,"action":"Termin`); err != nil {
		t.Fatal(err)
	}
	f.Close()

	again := open(t, path)
	if err := again.Add(Entry{Action: "CreateTags"}); err != nil {
		t.Fatal(err)
	}
	first.Seq = 1
	want := []Entry{first, {Seq: 2, Action: "DescribeInstances", Code: "InternalError"}, {Seq: 3, Action: "CreateTags"}}
	if diff := cmp.Diff(want, again.Since(0, "")); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want[1:2], again.Since(1, "DescribeInstances")); diff != "" {
		t.Errorf("asked since 1 for one action (-want +got):\n%s", diff)
	}
	again.Close()
	if got := open(t, path).Since(0, ""); len(got) != 3 {
		t.Errorf("the file holds %d entries after the second restart", len(got))
	}
}

func TestOpenRefusesGarbage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.jsonl")
	if err := os.WriteFile(path, []byte("not json\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); err == nil {
		t.Error("opened")
	}
	if _, err := Open(filepath.Join(path, "below-a-file")); err == nil {
		t.Error("opened below a file")
	}
}

func TestParallelAddsAreNumberedWithoutGaps(t *testing.T) {
	j := open(t, filepath.Join(t.TempDir(), "journal.jsonl"))
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			if err := j.Add(Entry{RequestID: fmt.Sprint(i)}); err != nil {
				t.Error(err)
			}
			j.Since(0, "")
		})
	}
	wg.Wait()
	for i, e := range j.Since(0, "") {
		if e.Seq != int64(i+1) {
			t.Fatalf("entry %d has number %d", i, e.Seq)
		}
	}
}

func TestRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.jsonl")
	j := open(t, path)
	if err := j.Add(Entry{Action: "A"}); err != nil {
		t.Fatal(err)
	}
	j.size = rotateAt
	if err := j.Add(Entry{Action: "B"}); err != nil {
		t.Fatal(err)
	}
	if got := open(t, path).Since(0, ""); len(got) != 1 || got[0].Seq != 2 {
		t.Errorf("after rotation the file holds %+v", got)
	}
	if got := open(t, path+".1").Since(0, ""); len(got) != 1 || got[0].Action != "A" {
		t.Errorf("the old file holds %+v", got)
	}
}
