// Package forward carries connections from the machine's loopback into another network namespace.
//
// A listener belongs to the network namespace in which it was bound, whatever its process does later.
// So any component can be started in the machine's namespace with
//
//	LC_FORWARD="127.0.0.1:6443=10.90.0.1:6443 127.0.0.1:8080=10.90.0.11:30080,10.90.0.12:30080"
//	LC_NETNS=/proc/1/ns/net
//
// It binds the listeners on the machine's loopback, enters the other namespace, executes itself again there
// (after which every thread is inside) and forwards. No link joins the two namespaces.
package forward

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	envForward = "LC_FORWARD"
	envNetns   = "LC_NETNS"
	envFds     = "LC_FORWARD_FDS" // set between the two executions
)

// dialTimeout is short because the next target, if any, is only tried after it.
const dialTimeout = 2 * time.Second

// Rule is one listener and where its connections go: to the first target that accepts.
type Rule struct {
	Listen  string
	Targets []string
}

// Parse reads rules of the form LISTEN=TARGET[,TARGET]..., each address IP:PORT, LISTEN on loopback.
func Parse(words []string) ([]Rule, error) {
	seen := map[string]bool{}
	var rules []Rule
	for _, word := range words {
		listen, rest, ok := strings.Cut(word, "=")
		if !ok || rest == "" {
			return nil, fmt.Errorf("%q: not of the form LISTEN=TARGET[,TARGET], such as 127.0.0.1:8080=10.90.0.11:30080", word)
		}
		host, err := address(listen)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", word, err)
		}
		if !host.IsLoopback() {
			return nil, fmt.Errorf("%q: %s is not a loopback address; listen on 127.0.0.1", word, host)
		}
		if seen[listen] {
			return nil, fmt.Errorf("%q: %s is given twice; name both targets in one rule", word, listen)
		}
		seen[listen] = true
		rule := Rule{Listen: listen}
		for target := range strings.SplitSeq(rest, ",") {
			if _, err := address(target); err != nil {
				return nil, fmt.Errorf("%q: %w", word, err)
			}
			rule.Targets = append(rule.Targets, target)
		}
		rules = append(rules, rule)
	}
	return rules, nil
}

func address(s string) (net.IP, error) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return nil, fmt.Errorf("address %q is not IP:PORT", s)
	}
	ip := net.ParseIP(host)
	if ip == nil {
		return nil, fmt.Errorf("address %q: %q is not an IP address", s, host)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return nil, fmt.Errorf("address %q: port %q is not between 1 and 65535", s, port)
	}
	return ip, nil
}

// Enter does what the environment asks for, nothing when it asks for nothing. In the first execution it does
// not return unless it fails; in the second it starts to forward and returns.
func Enter() error {
	netns := os.Getenv(envNetns)
	if netns == "" {
		return nil
	}
	rules, err := Parse(strings.Fields(os.Getenv(envForward)))
	if err != nil {
		return err
	}
	if fds, crossed := os.LookupEnv(envFds); crossed {
		for _, e := range []string{envForward, envNetns, envFds} {
			os.Unsetenv(e) // not for the children of this process
		}
		return resume(rules, strings.Fields(fds))
	}
	fds, err := listen(rules)
	if err != nil {
		return err
	}
	ns, err := unix.Open(netns, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("%s: %w", netns, err)
	}
	runtime.LockOSThread()
	if err := unix.Setns(ns, unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("setns %s: %w", netns, err)
	}
	return syscall.Exec("/proc/self/exe", os.Args, append(os.Environ(), envFds+"="+strings.Join(fds, " ")))
}

// Request sets the environment for Enter.
func Request(netns string, words []string) {
	os.Setenv(envNetns, netns)
	os.Setenv(envForward, strings.Join(words, " "))
}

func listen(rules []Rule) ([]string, error) {
	var fds []string
	for _, r := range rules {
		ln, err := net.Listen("tcp", r.Listen)
		if err != nil {
			return nil, err
		}
		f, err := ln.(*net.TCPListener).File()
		if err != nil {
			return nil, err
		}
		if _, err := unix.FcntlInt(f.Fd(), unix.F_SETFD, 0); err != nil { // survives the exec
			return nil, err
		}
		fds = append(fds, strconv.Itoa(int(f.Fd())))
	}
	return fds, nil
}

func resume(rules []Rule, fds []string) error {
	if len(rules) != len(fds) {
		return fmt.Errorf("%d rules but %d listeners", len(rules), len(fds))
	}
	for i, r := range rules {
		fd, err := strconv.Atoi(fds[i])
		if err != nil {
			return err
		}
		unix.CloseOnExec(fd)
		f := os.NewFile(uintptr(fd), r.Listen)
		ln, err := net.FileListener(f)
		if err != nil {
			return fmt.Errorf("%s: %w", r.Listen, err)
		}
		f.Close()
		go Serve(ln, r.Targets)
	}
	return nil
}

// Serve forwards what ln accepts to the first of targets that accepts a connection, until ln is closed.
func Serve(ln net.Listener, targets []string) {
	for {
		c, err := ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(50 * time.Millisecond) // out of file descriptors, say
			continue
		}
		go carry(c, targets)
	}
}

func carry(c net.Conn, targets []string) {
	defer c.Close()
	for _, t := range targets {
		d, err := net.DialTimeout("tcp", t, dialTimeout)
		if err != nil {
			continue
		}
		defer d.Close()
		done := make(chan struct{})
		go func() { pipe(d, c); close(done) }()
		pipe(c, d)
		<-done
		return
	}
}

// pipe copies until from ends, then tells to that nothing more comes.
func pipe(to, from net.Conn) {
	_, err := io.Copy(to, from)
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	if err != nil { // broken, not ended: the other direction is of no use either
		to.Close()
		from.Close()
	}
}
