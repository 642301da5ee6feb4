package proc

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

func TestParseStat(t *testing.T) {
	const tail = " S 1 10 10 0 -1 4194560 100 0 0 0 1 2 0 0 20 0 7 0 4711 1000 200"
	tests := []struct {
		name, in string
		want     stat
		fails    bool
	}{
		{name: "plain", in: "10 (sleep)" + tail, want: stat{'S', 7, 4711}},
		{name: "parentheses and blanks in the command", in: "10 (a) Z (b 1) 2)" + tail, want: stat{'S', 7, 4711}},
		{name: "line end in the command", in: "10 (a\nb)" + tail + "\n", want: stat{'S', 7, 4711}},
		{name: "empty", in: "", fails: true},
		{name: "no command", in: "10 sleep" + tail, fails: true},
		{name: "cut short", in: "10 (sleep) S 1 10", fails: true},
		{name: "threads are no number", in: strings.Replace("10 (sleep)"+tail, " 7 ", " x ", 1), fails: true},
		{name: "start time is no number", in: strings.Replace("10 (sleep)"+tail, "4711", "-1", 1), fails: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseStat([]byte(tt.in))
			if (err != nil) != tt.fails || got != tt.want {
				t.Errorf("= %+v, %v; want %+v, failing %v", got, err, tt.want, tt.fails)
			}
		})
	}
}

func TestPhase(t *testing.T) {
	for st, want := range map[stat]phase{
		{state: 'S', threads: 1}: running,
		{state: 'D', threads: 9}: running,
		{state: 'Z', threads: 1}: ended,
		{state: 'Z', threads: 0}: ended,
		{state: 'Z', threads: 9}: ending,
		{state: 'X', threads: 1}: ended,
	} {
		if got := st.phase(); got != want {
			t.Errorf("%+v: %v, want %v", st, got, want)
		}
	}
}

func TestReadStatOfSelf(t *testing.T) {
	st, err := readStat(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if st.startTime == 0 || st.threads < 2 || !strings.ContainsRune("RSD", rune(st.state)) {
		t.Errorf("%+v", st)
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("10 (sleep) S 1 10 10 0 -1 4194560 100 0 0 0 1 2 0 0 20 0 7 0 4711 1000 200"))
	f.Add([]byte("10 (sleep)"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if st, err := parseStat(data); err == nil && st.state == 0 {
			t.Errorf("no state read from %q", data)
		}
	})
}

func FuzzParseRecord(f *testing.F) {
	f.Add([]byte(`{"pid":10,"startTime":4711,"bootID":"a"}`))
	f.Add([]byte(`{"pid":-1,"startTime":4711,"bootID":"a"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		rec, err := parseRecord(data)
		if err != nil {
			return
		}
		if rec.PID <= 1 {
			t.Fatalf("process %d accepted", rec.PID)
		}
		again, err := json.Marshal(rec)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := parseRecord(again); err != nil || back != rec {
			t.Errorf("%+v came back as %+v, %v", rec, back, err)
		}
	})
}

func TestLastLines(t *testing.T) {
	tests := []struct {
		in   string
		n    int
		want string
	}{
		{"", 3, ""},
		{"a", 1, "a"},
		{"a\nb\n", 1, "b"},
		{"a\nb\nc\n", 2, "b\nc"},
		{"a\nb", 5, "a\nb"},
		{"a\n\n\n", 2, "a"},
		{"a\nb\n", 0, ""},
	}
	for _, tt := range tests {
		if got := string(lastLines([]byte(tt.in), tt.n)); got != tt.want {
			t.Errorf("lastLines(%q, %d) = %q, want %q", tt.in, tt.n, got, tt.want)
		}
	}
}

func TestLogTurns(t *testing.T) {
	dir := t.TempDir()
	start(t, script(dir, "echo first; exec sleep 1000"))
	eventually(t, "the log is written", func() bool { tail, _ := LogTail(dir, "script", 1); return tail == "first" })
	if err := os.Truncate(LogPath(dir, "script"), maxLog+1); err != nil {
		t.Fatal(err)
	}
	start(t, script(dir, "echo second; exec sleep 1000"))
	eventually(t, "a new log is written", func() bool { tail, _ := LogTail(dir, "script", 1); return tail == "second" })
	info, err := os.Stat(LogPath(dir, "script") + ".old")
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() != maxLog+1 {
		t.Errorf("the old part has %d bytes", info.Size())
	}
}
