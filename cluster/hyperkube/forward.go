package main

import (
	"flag"
	"fmt"
	"os"

	"millrace.dev/cluster/forward"
)

// envForwarding tells the second execution of `forward` from the first.
const envForwarding = "LC_FORWARDING"

func init() {
	// forward [--netns FILE] LISTEN=TARGET[,TARGET]...: a process that does nothing else.
	parts["forward"] = func() int {
		if os.Getenv(envForwarding) != "" { // inside: main has started to serve
			select {}
		}
		fs := flag.NewFlagSet("forward", flag.ExitOnError)
		netns := fs.String("netns", "/proc/1/ns/net", "network namespace to connect in")
		_ = fs.Parse(os.Args[1:])
		forward.Request(*netns, fs.Args())
		os.Setenv(envForwarding, "1")
		fmt.Fprintln(os.Stderr, "forward:", forward.Enter())
		return 1
	}
}
