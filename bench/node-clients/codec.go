package main

import "fmt"

// raw passes messages as they are on the wire.
type raw struct{}

func (raw) Name() string { return "proto" }

func (raw) Marshal(value any) ([]byte, error) {
	message, ok := value.(*[]byte)
	if !ok {
		return nil, fmt.Errorf("%T is no message", value)
	}
	return *message, nil
}

func (raw) Unmarshal(data []byte, value any) error {
	message, ok := value.(*[]byte)
	if !ok {
		return fmt.Errorf("%T is no message", value)
	}
	*message = append([]byte(nil), data...)
	return nil
}
