package frmcore

import (
	"bytes"
	"fmt"

	"github.com/vmihailenco/msgpack/v5"
)

func bytesReader(data []byte) *bytes.Reader { return bytes.NewReader(data) }

func encode(value any) ([]byte, error) {
	var buffer bytes.Buffer
	encoder := msgpack.GetEncoder()
	defer msgpack.PutEncoder(encoder)
	encoder.Reset(&buffer)
	encoder.UseCompactInts(true)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	return buffer.Bytes(), nil
}

// read takes an answer apart: [id, result] or [id, nil, error]. A nil result is not looked at.
func read(answer []byte, result any) error {
	decoder := msgpack.GetDecoder()
	defer msgpack.PutDecoder(decoder)
	decoder.ResetReader(bytes.NewReader(answer))
	size, err := decoder.DecodeArrayLen()
	if err == nil {
		_, err = decoder.DecodeUint64()
	}
	if err == nil && size > 2 {
		return failure(decoder)
	}
	if err == nil && result != nil {
		err = decoder.Decode(result)
	}
	if err != nil {
		return fmt.Errorf("%w: an answer that can't be read: %v", ProtocolError, err)
	}
	return nil
}

func failure(decoder *msgpack.Decoder) error {
	told := &Error{}
	if err := decoder.Skip(); err != nil {
		return fmt.Errorf("%w: %v", ProtocolError, err)
	}
	if err := decoder.Decode(told); err != nil {
		return fmt.Errorf("%w: %v", ProtocolError, err)
	}
	return told
}
