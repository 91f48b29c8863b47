package forward

import (
	"io"
	"net"
	"reflect"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	got, err := Parse(strings.Fields("127.0.0.1:6443=10.90.0.1:6443 [::1]:80=10.90.0.11:30080,10.90.0.12:30080"))
	if err != nil {
		t.Fatal(err)
	}
	want := []Rule{
		{Listen: "127.0.0.1:6443", Targets: []string{"10.90.0.1:6443"}},
		{Listen: "[::1]:80", Targets: []string{"10.90.0.11:30080", "10.90.0.12:30080"}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestParseNamesWhatIsWrong(t *testing.T) {
	for word, part := range map[string]string{
		"127.0.0.1:80":                                    "LISTEN=TARGET",
		"127.0.0.1:80=":                                   "LISTEN=TARGET",
		"127.0.0.1=10.90.0.1:80":                          "not IP:PORT",
		"0.0.0.0:80=10.90.0.1:80":                         "not a loopback address",
		"10.1.2.3:80=10.90.0.1:80":                        "not a loopback address",
		"localhost:80=10.90.0.1:80":                       "not an IP address",
		"127.0.0.1:0=10.90.0.1:80":                        "between 1 and 65535",
		"127.0.0.1:80=10.90.0.1:70000":                    "between 1 and 65535",
		"127.0.0.1:80=10.90.0.1:80,":                      "not IP:PORT",
		"127.0.0.1:80=web:80":                             "not an IP address",
		"127.0.0.1:80=10.0.0.1:1 127.0.0.1:80=10.0.0.2:1": "given twice",
	} {
		_, err := Parse(strings.Fields(word))
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%s: error %v does not say %q", word, err, part)
		}
	}
}

func loopback(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln
}

func TestServeTakesTheSecondTargetWhenTheFirstIsDown(t *testing.T) {
	down := loopback(t)
	down.Close()
	up := loopback(t)
	go func() {
		for {
			c, err := up.Accept()
			if err != nil {
				return
			}
			go func() { // answers only after the client has ended its side
				all, _ := io.ReadAll(c)
				_, _ = c.Write(append([]byte("got "), all...))
				c.Close()
			}()
		}
	}()
	front := loopback(t)
	go Serve(front, []string{down.Addr().String(), up.Addr().String()})
	c, err := net.Dial("tcp", front.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(c)
	if err != nil || string(answer) != "got hello" {
		t.Errorf("answer %q, error %v", answer, err)
	}
}

func TestServeEndsAConnectionNobodyTakes(t *testing.T) {
	down := loopback(t)
	down.Close()
	front := loopback(t)
	go Serve(front, []string{down.Addr().String()})
	c, err := net.Dial("tcp", front.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("read %d bytes, error %v; wanted the connection closed", n, err)
	}
}
