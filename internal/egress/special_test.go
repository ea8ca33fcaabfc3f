package egress

import (
	"net/netip"
	"testing"
)

const public = Default

// TestSpecialRanges: the first and the last address of every range, and its neighbours, for a
// stranger's name.
func TestSpecialRanges(t *testing.T) {
	for _, tt := range []struct{ rule, before, beforeIs, first, last, after, afterIs string }{
		{"unspecified", "", "", "0.0.0.0", "0.255.255.255", "1.0.0.0", public},
		{"private", "9.255.255.255", public, "10.0.0.0", "10.255.255.255", "11.0.0.0", public},
		{"private", "100.63.255.255", public, "100.64.0.0", "100.127.255.255", "100.128.0.0", public},
		{"metadata", "100.100.100.199", "default private", "100.100.100.200", "100.100.100.200", "100.100.100.201", "default private"},
		{"loopback", "126.255.255.255", public, "127.0.0.0", "127.255.255.255", "128.0.0.0", public},
		{"metadata", "168.63.129.15", public, "168.63.129.16", "168.63.129.16", "168.63.129.17", public},
		{"link-local", "169.253.255.255", public, "169.254.0.0", "169.254.255.255", "169.255.0.0", public},
		{"metadata", "169.254.169.253", "default link-local", "169.254.169.254", "169.254.169.254", "169.254.169.255", "default link-local"},
		{"metadata", "169.254.170.1", "default link-local", "169.254.170.2", "169.254.170.2", "169.254.170.3", "default link-local"},
		{"metadata", "169.254.170.22", "default link-local", "169.254.170.23", "169.254.170.23", "169.254.170.24", "default link-local"},
		{"private", "172.15.255.255", public, "172.16.0.0", "172.31.255.255", "172.32.0.0", public},
		{"special-purpose", "191.255.255.255", public, "192.0.0.0", "192.0.0.255", "192.0.1.0", public},
		{"metadata", "192.0.0.191", "default special-purpose", "192.0.0.192", "192.0.0.192", "192.0.0.193", "default special-purpose"},
		{"documentation", "192.0.1.255", public, "192.0.2.0", "192.0.2.255", "192.0.3.0", public},
		{"special-purpose", "192.88.98.255", public, "192.88.99.0", "192.88.99.255", "192.88.100.0", public},
		{"private", "192.167.255.255", public, "192.168.0.0", "192.168.255.255", "192.169.0.0", public},
		{"special-purpose", "198.17.255.255", public, "198.18.0.0", "198.19.255.255", "198.20.0.0", public},
		{"documentation", "198.51.99.255", public, "198.51.100.0", "198.51.100.255", "198.51.101.0", public},
		{"documentation", "203.0.112.255", public, "203.0.113.0", "203.0.113.255", "203.0.114.0", public},
		{"multicast", "223.255.255.255", public, "224.0.0.0", "239.255.255.255", "240.0.0.0", "default reserved"},
		{"reserved", "239.255.255.255", "default multicast", "240.0.0.0", "255.255.255.255", "", ""},

		{"unspecified", "", "", "::", "::", "::1", "default loopback"},
		{"loopback", "::", "default unspecified", "::1", "::1", "::2", "default transition"},
		{"transition", "::1", "default loopback", "::2", "::ffff:ffff", "::1:0:0", "default reserved"},
		{"transition", "::fffe:ffff:ffff:ffff", "default reserved", "::ffff:0:0:0", "::ffff:0:ffff:ffff", "::ffff:1:0:0", "default reserved"},
		{"reserved", "64:ff9a:ffff:ffff:ffff:ffff:ffff:ffff", "default reserved", "64:ff9b::1:0:0", "64:ff9b:0:ffff:ffff:ffff:ffff:ffff", "64:ff9b:1::", "default transition"},
		{"transition", "64:ff9b:0:ffff:ffff:ffff:ffff:ffff", "default reserved", "64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", "64:ff9b:2::", "default reserved"},
		{"special-purpose", "ff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "default reserved", "100::", "100::ffff:ffff:ffff:ffff", "100:0:0:1::", "default special-purpose"},
		{"special-purpose", "100::ffff:ffff:ffff:ffff", "default special-purpose", "100:0:0:1::", "100:0:0:1:ffff:ffff:ffff:ffff", "100:0:0:2::", "default reserved"},
		{"reserved", "100:0:0:1:ffff:ffff:ffff:ffff", "default special-purpose", "100:0:0:2::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2000::", public},
		{"transition", "2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff", public, "2001::", "2001:0:ffff:ffff:ffff:ffff:ffff:ffff", "2001:1::", "default special-purpose"},
		{"special-purpose", "2001:0:ffff:ffff:ffff:ffff:ffff:ffff", "default transition", "2001:1::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:200::", public},
		{"documentation", "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", public, "2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::", public},
		{"transition", "2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff", public, "2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2003::", public},
		{"documentation", "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff", public, "3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff:1000::", public},
		{"reserved", "3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", public, "4000::", "5eff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "5f00::", "default special-purpose"},
		{"special-purpose", "5eff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "default reserved", "5f00::", "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "5f01::", "default reserved"},
		{"reserved", "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "default special-purpose", "5f01::", "fbff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fc00::", "default private"},
		{"private", "fbff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "default reserved", "fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fe00::", "default reserved"},
		{"metadata", "fd00:ec2::22", "default private", "fd00:ec2::23", "fd00:ec2::23", "fd00:ec2::24", "default private"},
		{"metadata", "fd00:ec2::253", "default private", "fd00:ec2::254", "fd00:ec2::254", "fd00:ec2::255", "default private"},
		{"metadata", "fd20:ce::253", "default private", "fd20:ce::254", "fd20:ce::254", "fd20:ce::255", "default private"},
		{"link-local", "fe7f:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "default reserved", "fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fec0::", "default private"},
		{"private", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "default link-local", "fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ff00::", "default multicast"},
		{"multicast", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "default private", "ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "", ""},
	} {
		for addr, want := range map[string]string{tt.before: tt.beforeIs, tt.first: "default " + tt.rule, tt.last: "default " + tt.rule, tt.after: tt.afterIs} {
			if addr == "" {
				continue
			}
			v := (*Policy)(nil).Decide(Target{Host: "stranger.example", Addr: netip.MustParseAddr(addr), Port: 443})
			if v.Rule != want || v.Allowed != (want == public) {
				t.Errorf("%s: %s; want %s", addr, v, want)
			}
		}
	}
}

// TestEmbedded: an address within an address is judged as well.
func TestEmbedded(t *testing.T) {
	for _, tt := range []struct {
		addr, stranger, configured string // rules
	}{
		{"::ffff:8.8.8.8", public, Named},
		{"::ffff:10.0.0.1", "default private", Named},
		{"::ffff:169.254.169.254", "default metadata", "default metadata"},
		{"64:ff9b::8.8.8.8", public, Named},
		{"64:ff9b::9.255.255.255", public, Named},
		{"64:ff9b::10.0.0.0", "default private", Named},
		{"64:ff9b::127.0.0.1", "default loopback", Named},
		{"64:ff9b::169.254.169.254", "default metadata", "default metadata"},
		{"64:ff9b::169.254.169.253", "default link-local", "default link-local"},
		{"::169.254.169.254", "default transition", "default metadata"},
		{"::ffff:0:169.254.169.254", "default transition", "default metadata"},
		{"2002:a9fe:a9fe::1", "default transition", "default metadata"},
		{"2002:0808:0808::1", "default transition", Named},
		{"2001:0:a9fe:a9fe::", "default transition", "default metadata"},                 // Teredo: its server
		{"2001:0:808:808::5601:5601", "default transition", "default metadata"},          // and its client
		{"2001:0:808:808::f7f7:f7f7", "default transition", Named},                       // 8.8.8.8
		{"64:ff9b:1:a9fe:a9:fe00::", "default transition", "default metadata"},           // RFC 6052: /48
		{"64:ff9b:1:00a9:fe:a9fe::", "default transition", "default metadata"},           // /56
		{"64:ff9b:1:0:a9:fea9:fe00:0", "default transition", "default metadata"},         // /64
		{"64:ff9b:1:ffff:ffff:ffff:a9fe:a9fe", "default transition", "default metadata"}, // /96
		{"64:ff9b:1::808:808", "default transition", Named},
		{"2600::5efe:10.0.0.1", "default private", Named}, // ISATAP
		{"2600::200:5efe:10.0.0.1", "default private", Named},
		{"2600:1:2:3:0:5efe:a9fe:a9fe", "default metadata", "default metadata"},
		{"2600:1:2:3:200:5efe:7f00:1", "default loopback", Named},
		{"2600::5efe:8.8.8.8", public, Named},
		{"2600::5eff:10.0.0.1", public, Named},
		{"2600::5efd:10.0.0.1", public, Named},
		{"2600::100:5efe:10.0.0.1", public, Named},
		{"2600::1:0:5efe:10.0.0.1", "default private", Named},
		{"2002:808:808::5efe:a9fe:a9fe", "default transition", "default metadata"}, // within 6to4
		{"fe80::1%eth0", "default link-local", "default link-local"},
		{"2600::1", public, Named},
	} {
		for source, want := range map[Source]string{Stranger: tt.stranger, Configured: tt.configured} {
			v := (*Policy)(nil).Decide(Target{Host: "name.example", Addr: netip.MustParseAddr(tt.addr), Port: 443, Source: source})
			if v.Rule != want || v.Allowed != (want == public || want == Named) {
				t.Errorf("%s for %v: %s; want %s", tt.addr, source, v, want)
			}
		}
	}
}
