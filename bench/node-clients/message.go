package main

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// Numbers of companion/contract/companion.proto.
const (
	nodeMessageHello         = 1
	nodeMessageFollow        = 6
	helloNode                = 1
	helloVersion             = 2
	followLayout             = 1
	followID                 = 3
	controllerMessageCatalog = 3
	catalogRecords           = 2
	catalogComplete          = 4
	catalogRefused           = 5
	catalogFollowID          = 6
	catalogPacks             = 7
)

func hello(node string) []byte {
	var body []byte
	body = appendString(body, helloNode, node)
	body = appendString(body, helloVersion, "0.1.0")
	return appendBytes(nil, nodeMessageHello, body)
}

// follow asks for the whole catalog: the node has no records, and so no digests.
func follow(layout, id uint64) []byte {
	body := appendNumber(nil, followLayout, layout)
	body = appendNumber(body, followID, id)
	return appendBytes(nil, nodeMessageFollow, body)
}

// part is what is counted of a Catalog.
type part struct {
	followID uint64
	bytes    int
	complete bool
	refused  string
}

// catalogOf returns nil if the message is no Catalog.
func catalogOf(message []byte) (*part, error) {
	var found *part
	err := each(message, func(number protowire.Number, _ uint64, body []byte) error {
		if number != controllerMessageCatalog {
			return nil
		}
		found = &part{}
		return each(body, func(number protowire.Number, value uint64, body []byte) error {
			switch number {
			case catalogRecords, catalogPacks:
				found.bytes += len(body)
			case catalogComplete:
				found.complete = value != 0
			case catalogRefused:
				found.refused = string(body)
			case catalogFollowID:
				found.followID = value
			}
			return nil
		})
	})
	return found, err
}

// each calls back for every field, with its number or its bytes.
func each(message []byte, field func(protowire.Number, uint64, []byte) error) error {
	for len(message) > 0 {
		number, kind, size := protowire.ConsumeTag(message)
		if size < 0 {
			return protowire.ParseError(size)
		}
		message = message[size:]
		var value uint64
		var body []byte
		switch kind {
		case protowire.VarintType:
			value, size = protowire.ConsumeVarint(message)
		case protowire.BytesType:
			body, size = protowire.ConsumeBytes(message)
		default:
			return fmt.Errorf("field %d has the unexpected wire type %d", number, kind)
		}
		if size < 0 {
			return protowire.ParseError(size)
		}
		message = message[size:]
		if err := field(number, value, body); err != nil {
			return err
		}
	}
	return nil
}

func appendNumber(to []byte, field protowire.Number, value uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(to, field, protowire.VarintType), value)
}

func appendBytes(to []byte, field protowire.Number, value []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(to, field, protowire.BytesType), value)
}

func appendString(to []byte, field protowire.Number, value string) []byte {
	return appendBytes(to, field, []byte(value))
}
