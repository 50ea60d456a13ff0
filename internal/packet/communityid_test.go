package packet_test

import (
	"net/netip"
	"testing"

	"sonde.example/internal/packet"
)

// TestCommunityID has the vectors that the specification publishes, and others computed with its reference implementation
// (the package communityid of PyPI, version 1.5.0).
func TestCommunityID(t *testing.T) {
	for _, test := range []struct {
		protocol                    uint8
		source, destination         string
		sourcePort, destinationPort uint16
		seed                        uint16
		want                        string
	}{
		{6, "128.232.110.120", "66.35.250.204", 34855, 80, 0, "1:LQU9qZlK+B5F3KDmev6m5PMibrg="},
		{6, "66.35.250.204", "128.232.110.120", 80, 34855, 0, "1:LQU9qZlK+B5F3KDmev6m5PMibrg="},
		{6, "128.232.110.120", "66.35.250.204", 34855, 80, 1, "1:3V71V58M3Ksw/yuFALMcW0LAHvc="},
		{17, "192.168.1.52", "8.8.8.8", 54585, 53, 0, "1:d/FP5EW3wiY1vCndhwleRRKHowQ="},
		{17, "8.8.8.8", "192.168.1.52", 53, 54585, 1, "1:Q9We8WO3piVF8yEQBNJF4uiSVrI="},
		{132, "192.168.170.8", "192.168.170.56", 7, 80, 0, "1:jQgCxbku+pNGw8WPbEc/TS/uTpQ="},
		{6, "2001:db8::1", "2001:db8::2", 4000, 443, 0, "1:qks/3QWYq4Gr1VUovje77qHKG3c="},
		{17, "10.0.0.1", "10.0.0.1", 9, 8, 0, "1:CCDtH19NHn4evTjsHD7T5iPAeoM="},
		{47, "10.1.24.4", "10.1.12.1", 0, 0, 0, "1:6JFBmF1p0LABA19nAHNSi9mGLPM="},
		{89, "fe80::2", "fe80::1", 0, 0, 0, "1:OeNtz1K84wdj3DcGPJxMy8KNULU="},
	} {
		source := packet.Endpoint{Address: netip.MustParseAddr(test.source), Port: test.sourcePort}
		destination := packet.Endpoint{Address: netip.MustParseAddr(test.destination), Port: test.destinationPort}
		for _, pair := range [][2]packet.Endpoint{{source, destination}, {destination, source}} {
			if got := packet.CommunityID(pair[0], pair[1], test.protocol, 3, 4, test.seed); got != test.want {
				t.Errorf("%d %v > %v: got %s, want %s", test.protocol, pair[0], pair[1], got, test.want)
			}
		}
	}
}

func TestCommunityIDMapsICMP(t *testing.T) {
	for _, test := range []struct {
		protocol            uint8
		source, destination string
		kind, code          uint8
		want                string
	}{
		{1, "192.168.0.89", "192.168.0.1", 8, 0, "1:X0snYXpgwiv9TZtqg64sgzUn6Dk="},
		{1, "192.168.0.1", "192.168.0.89", 0, 0, "1:X0snYXpgwiv9TZtqg64sgzUn6Dk="},
		{1, "192.168.0.89", "192.168.0.1", 20, 0, "1:3o2RFccXzUgjl7zDpqmY7yJi8rI="},
		{1, "192.168.0.89", "192.168.0.1", 20, 1, "1:tz/fHIDUHs19NkixVVoOZywde+I="},
		{1, "192.168.0.1", "192.168.0.89", 3, 1, "1:o3zT92uTgnRWv/YrDVeXcWumpC4="},
		{1, "10.0.0.2", "10.0.0.1", 13, 0, "1:th9CqcxflNss8X17pecPidKDzKw="},
		{1, "10.0.0.1", "10.0.0.2", 14, 0, "1:th9CqcxflNss8X17pecPidKDzKw="},
		{1, "10.0.0.2", "10.0.0.1", 10, 0, "1:DYhYhWnv1hFRoB3VRnwSDthRB4g="},
		{1, "10.0.0.2", "10.0.0.1", 15, 0, "1:+aoxZIkY0OuCwCZ+bbNV9kGNc5I="},
		{1, "10.0.0.2", "10.0.0.1", 17, 0, "1:l/VKACLiArrnbEnOQacsEqDOAlg="},
		{58, "fe80::200:86ff:fe05:80da", "fe80::260:97ff:fe07:69ea", 135, 0, "1:dGHyGvjMfljg6Bppwm3bg0LO8TY="},
		{58, "fe80::260:97ff:fe07:69ea", "fe80::200:86ff:fe05:80da", 136, 0, "1:dGHyGvjMfljg6Bppwm3bg0LO8TY="},
		{58, "3ffe:507:0:1:200:86ff:fe05:80da", "3ffe:501:1800:2345::1", 128, 0, "1:D+yZk3rruY3cVR34h0uVRGbLbhM="},
		{58, "3ffe:501:1800:2345::1", "3ffe:507:0:1:200:86ff:fe05:80da", 129, 0, "1:D+yZk3rruY3cVR34h0uVRGbLbhM="},
		{58, "fe80::1", "fe80::2", 133, 0, "1:G1+1zlICT52MvQAxdJ77ST0zHIw="},
		{58, "fe80::2", "fe80::1", 134, 0, "1:G1+1zlICT52MvQAxdJ77ST0zHIw="},
		{58, "fe80::1", "fe80::2", 130, 0, "1:Pmn7mCHtn19srQiXm2sF0CDRRMA="},
		{58, "fe80::1", "fe80::2", 139, 0, "1:oPVhmQYL42iV9FGiMqdb38yGSeA="},
		{58, "fe80::1", "fe80::2", 144, 0, "1:21qp2MlwLUEblqK3FO0+OyLBlWA="},
		{58, "fe80::2", "fe80::1", 1, 3, "1:gmcR4CQg4AuLCR2qpm+cgZEVxbA="},
		{58, "fe80::2", "fe80::1", 146, 0, "1:UMYEnWXXJ9+nbyoj10xPzYoUBio="},
	} {
		source := packet.Endpoint{Address: netip.MustParseAddr(test.source)}
		destination := packet.Endpoint{Address: netip.MustParseAddr(test.destination)}
		if got := packet.CommunityID(source, destination, test.protocol, test.kind, test.code, 0); got != test.want {
			t.Errorf("%d %s > %s type %d code %d: got %s, want %s", test.protocol, test.source, test.destination, test.kind, test.code, got, test.want)
		}
	}
}
