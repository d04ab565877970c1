package hdr

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// Field numbers of ModelInferRequest and ModelInferResponse of the Open Inference Protocol. Reading and writing the few
// fields that load needs by hand costs a fraction of what generated messages do, on the core that must not be late.
const (
	requestModel  protowire.Number = 1
	requestInputs protowire.Number = 5
	requestRaw    protowire.Number = 7

	tensorName  protowire.Number = 1
	tensorType  protowire.Number = 2
	tensorShape protowire.Number = 3

	responseOutputs protowire.Number = 5
	responseRaw     protowire.Number = 6
)

var (
	errMessage = errors.New("not a message of the Open Inference Protocol")

	elementBytes = map[string]int64{
		"BOOL": 1, "INT8": 1, "UINT8": 1, "INT16": 2, "UINT16": 2, "FP16": 2, "BF16": 2,
		"INT32": 4, "UINT32": 4, "FP32": 4, "INT64": 8, "UINT64": 8, "FP64": 8,
	}
)

// tensor is what a message says about one tensor.
type tensor struct {
	Name       string  `json:"name"`
	Datatype   string  `json:"datatype"`
	Shape      []int64 `json:"shape"`
	Parameters struct {
		BinaryDataSize int `json:"binary_data_size"`
	} `json:"parameters"`
}

// inferRequest makes the gRPC form of a V2 request in its binary HTTP form: a JSON head, then each tensor's bytes.
func inferRequest(model string, body []byte) ([]byte, error) {
	var head struct {
		Inputs []tensor `json:"inputs"`
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	if err := decoder.Decode(&head); err != nil {
		return nil, fmt.Errorf("not a V2 request with binary tensors: %w", err)
	}
	rest := body[decoder.InputOffset():]
	message := protowire.AppendTag(nil, requestModel, protowire.BytesType)
	message = protowire.AppendString(message, model)
	for _, input := range head.Inputs {
		var inner []byte
		inner = protowire.AppendTag(inner, tensorName, protowire.BytesType)
		inner = protowire.AppendString(inner, input.Name)
		inner = protowire.AppendTag(inner, tensorType, protowire.BytesType)
		inner = protowire.AppendString(inner, input.Datatype)
		var shape []byte
		for _, size := range input.Shape {
			shape = protowire.AppendVarint(shape, uint64(size)) //nolint:gosec // two's complement on purpose
		}
		inner = protowire.AppendTag(inner, tensorShape, protowire.BytesType)
		inner = protowire.AppendBytes(inner, shape)
		message = protowire.AppendTag(message, requestInputs, protowire.BytesType)
		message = protowire.AppendBytes(message, inner)
	}
	for _, input := range head.Inputs {
		size := input.Parameters.BinaryDataSize
		if size < 1 || size > len(rest) {
			return nil, fmt.Errorf("input %q names %d bytes, and %d are left", input.Name, size, len(rest))
		}
		message = protowire.AppendTag(message, requestRaw, protowire.BytesType)
		message = protowire.AppendBytes(message, rest[:size])
		rest = rest[size:]
	}
	if len(head.Inputs) == 0 || len(rest) > 0 {
		return nil, fmt.Errorf("%d inputs leave %d bytes", len(head.Inputs), len(rest))
	}
	return message, nil
}

// isRightAnswer says whether an answer holds as many results as the request had items, all their bytes, and the class
// that is known to be in the payload.
func isRightAnswer(message []byte, items int, known *Answer) bool {
	var outputs []tensor
	var raw []int64
	var first []byte
	err := eachField(message, func(number protowire.Number, value []byte) error {
		switch number {
		case responseOutputs:
			output, err := parseTensor(value)
			outputs = append(outputs, output)
			return err
		case responseRaw:
			if len(raw) == 0 {
				first = value
			}
			raw = append(raw, int64(len(value)))
		}
		return nil
	})
	if err != nil || len(outputs) == 0 || len(raw) > 0 && len(raw) != len(outputs) {
		return false
	}
	for i, output := range outputs {
		if len(output.Shape) == 0 || output.Shape[0] != int64(items) {
			return false
		}
		size, known := elementBytes[output.Datatype]
		for _, length := range output.Shape {
			size *= length
		}
		if len(raw) > 0 && known && raw[i] != size {
			return false
		}
	}
	return len(raw) == 0 || outputs[0].Datatype != "FP32" || holds(first, known)
}

// holds says whether the scores of one item are largest where the known answer is; true where none is known.
func holds(scores []byte, known *Answer) bool {
	if known == nil {
		return true
	}
	largest, place := math.Inf(-1), -1
	for at := 0; at+4 <= len(scores); at += 4 {
		if score := float64(math.Float32frombits(binary.LittleEndian.Uint32(scores[at:]))); score > largest {
			largest, place = score, at/4
		}
	}
	return place == known.Place
}

func parseTensor(message []byte) (tensor, error) {
	var found tensor
	err := eachField(message, func(number protowire.Number, value []byte) error {
		switch number {
		case tensorName:
			found.Name = string(value)
		case tensorType:
			found.Datatype = string(value)
		case tensorShape:
			for len(value) > 0 {
				size, length := protowire.ConsumeVarint(value)
				if length < 0 {
					return errMessage
				}
				found.Shape, value = append(found.Shape, int64(size)), value[length:] //nolint:gosec // two's complement
			}
		}
		return nil
	})
	return found, err
}

// eachField calls f with each field of a message that has a length; numbers in a row of their own come as one varint.
func eachField(message []byte, f func(number protowire.Number, value []byte) error) error {
	for len(message) > 0 {
		number, kind, length := protowire.ConsumeTag(message)
		if length < 0 {
			return errMessage
		}
		message = message[length:]
		length = protowire.ConsumeFieldValue(number, kind, message)
		if length < 0 {
			return errMessage
		}
		value := message[:length]
		message = message[length:]
		switch kind {
		case protowire.BytesType:
			value, _ = protowire.ConsumeBytes(value)
		case protowire.VarintType:
		default:
			continue
		}
		if err := f(number, value); err != nil {
			return err
		}
	}
	return nil
}
