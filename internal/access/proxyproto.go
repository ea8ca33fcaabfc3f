package access

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"net/netip"
	"strconv"
	"strings"
)

// The two forms of the PROXY protocol, as HAProxy's proxy-protocol.txt (2.3) has them.
const (
	v2Signature = "\r\n\r\n\x00\r\nQUIT\n"
	v1Start     = "PROXY "
	v1Longest   = 107 // with the line's end
	v2Head      = 16
)

var errNoProxyHeader = errors.New("the connection does not begin with a PROXY protocol header")

// readProxyHeader reads a PROXY protocol header from r, and not a byte more. The address is the
// client's; it is invalid when the header speaks of the connection itself (LOCAL, UNKNOWN, a
// socket without an address), as a proxy's health checks do.
func readProxyHeader(r io.Reader) (netip.AddrPort, error) {
	var room [v2Head]byte
	head := room[:len(v2Signature)]
	if _, err := io.ReadFull(r, head); err != nil {
		return netip.AddrPort{}, err
	}
	switch {
	case string(head) == v2Signature:
		if _, err := io.ReadFull(r, room[len(head):]); err != nil {
			return netip.AddrPort{}, err
		}
		return readV2(r, room)
	case bytes.HasPrefix(head, []byte(v1Start)):
		return readV1(r, head)
	}
	return netip.AddrPort{}, errNoProxyHeader
}

// readV1 reads the rest of the line byte by byte: what follows belongs to the client.
func readV1(r io.Reader, head []byte) (netip.AddrPort, error) {
	line := append(make([]byte, 0, v1Longest), head...)
	for !bytes.HasSuffix(line, []byte("\r\n")) {
		if len(line) == v1Longest || bytes.IndexByte(line, '\n') >= 0 {
			return netip.AddrPort{}, errors.New("the PROXY line does not end as it must")
		}
		line = line[:len(line)+1]
		if _, err := io.ReadFull(r, line[len(line)-1:]); err != nil {
			return netip.AddrPort{}, err
		}
	}
	words := strings.Split(string(line[len(v1Start):len(line)-2]), " ")
	if words[0] == "UNKNOWN" {
		return netip.AddrPort{}, nil // whatever follows
	}
	if len(words) != 5 || words[0] != "TCP4" && words[0] != "TCP6" {
		return netip.AddrPort{}, errors.New("the PROXY line is malformed")
	}
	from, err1 := v1Address(words[0], words[1], words[3])
	_, err2 := v1Address(words[0], words[2], words[4])
	return from, errors.Join(err1, err2)
}

func v1Address(family, address, port string) (netip.AddrPort, error) {
	addr, err := netip.ParseAddr(address)
	n, portErr := strconv.ParseUint(port, 10, 16)
	if err != nil || portErr != nil || addr.Zone() != "" || addr.Is4() != (family == "TCP4") || len(port) > 1 && port[0] == '0' || port[0] == '+' {
		return netip.AddrPort{}, errors.New("the PROXY line has an address that is none")
	}
	return netip.AddrPortFrom(addr.Unmap(), uint16(n)), nil
}

// readV2 reads what follows the fixed part of the binary form.
func readV2(r io.Reader, head [v2Head]byte) (from netip.AddrPort, err error) {
	version, command, family, transport := head[12]>>4, head[12]&15, head[13]>>4, head[13]&15
	length := int(binary.BigEndian.Uint16(head[14:]))
	if version != 2 || command > 1 || family > 3 || transport > 2 {
		return from, fmt.Errorf("the PROXY header has version %d, command %d, family %d, transport %d", version, command, family, transport)
	}
	if command == 0 || family == 0 { // of the connection itself: what follows may be anything
		_, err := io.CopyN(io.Discard, r, int64(length))
		return from, err
	}
	var room [216]byte
	addresses := room[:[...]int{1: 12, 2: 36, 3: 216}[family]]
	if length < len(addresses) {
		return from, fmt.Errorf("the PROXY header has %d bytes for its addresses, which need %d", length, len(addresses))
	}
	sum := crc32.New(castagnoli)
	sum.Write(head[:])
	if _, err := io.ReadFull(io.TeeReader(r, sum), addresses); err != nil {
		return from, err
	}
	if err := readTLVs(r, length-len(addresses), sum); err != nil {
		return from, err
	}
	if transport != 1 {
		return from, nil
	}
	switch len(addresses) {
	case 12:
		from = netip.AddrPortFrom(netip.AddrFrom4([4]byte(addresses[:4])), binary.BigEndian.Uint16(addresses[8:]))
	case 36:
		from = netip.AddrPortFrom(netip.AddrFrom16([16]byte(addresses[:16])).Unmap(), binary.BigEndian.Uint16(addresses[32:]))
	}
	return from, nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const (
	tlvHead   = 3    // type and length
	tlvCRC32C = 0x03 // PP2_TYPE_CRC32C: of the whole header, with zeros in its own place
)

// readTLVs reads what follows the addresses, length bytes. Types are ignored but for the checksum, which has to be right
// where there is one. sum has what came before; nothing is held in memory.
func readTLVs(r io.Reader, length int, sum hash.Hash32) error {
	var want []byte
	for tee := io.TeeReader(r, sum); length > 0; {
		var head [tlvHead]byte
		if length < tlvHead {
			return errors.New("the PROXY header ends within a TLV's head")
		}
		if _, err := io.ReadFull(tee, head[:]); err != nil {
			return err
		}
		size := int(binary.BigEndian.Uint16(head[1:]))
		if length -= tlvHead; size > length {
			return fmt.Errorf("the PROXY header has a TLV of %d bytes where there are %d", size, length)
		}
		length -= size
		if head[0] != tlvCRC32C {
			if _, err := io.CopyN(io.Discard, tee, int64(size)); err != nil {
				return err
			}
			continue
		}
		if size != crc32.Size || want != nil {
			return errors.New("the PROXY header has a checksum that is none, or two")
		}
		want = make([]byte, crc32.Size)
		if _, err := io.ReadFull(r, want); err != nil {
			return err
		}
		sum.Write(make([]byte, crc32.Size))
	}
	if want != nil && binary.BigEndian.Uint32(want) != sum.Sum32() {
		return errors.New("the PROXY header's checksum is wrong")
	}
	return nil
}
