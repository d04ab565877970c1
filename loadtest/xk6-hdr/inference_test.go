package hdr

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

const binaryHead = `{"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"parameters":{"binary_data_size":8}},` +
	`{"name":"y","datatype":"UINT8","shape":[1,3],"parameters":{"binary_data_size":3}}]}`

func field(message []byte, number protowire.Number, value []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(message, number, protowire.BytesType), value)
}

func varint(message []byte, number protowire.Number, value uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(message, number, protowire.VarintType), value)
}

// answer makes a response with one FP32 output; packed says how its shape is written.
func answer(shape []uint64, packed bool, raw ...[]byte) []byte {
	output := field(nil, tensorType, []byte("FP32"))
	var sizes []byte
	for _, size := range shape {
		if packed {
			sizes = protowire.AppendVarint(sizes, size)
		} else {
			output = varint(output, tensorShape, size)
		}
	}
	if packed {
		output = field(output, tensorShape, sizes)
	}
	message := field(nil, responseOutputs, output)
	for _, value := range raw {
		message = field(message, responseRaw, value)
	}
	return message
}

func TestABinaryRequestBecomesAMessage(t *testing.T) {
	body := append([]byte(binaryHead), []byte("01234567abc")...)
	message, err := inferRequest("mnist", body)
	if err != nil {
		t.Fatal(err)
	}
	var model string
	var inputs []tensor
	var raw [][]byte
	err = eachField(message, func(number protowire.Number, value []byte) error {
		switch number {
		case requestModel:
			model = string(value)
		case requestInputs:
			input, err := parseTensor(value)
			inputs = append(inputs, input)
			return err
		case requestRaw:
			raw = append(raw, value)
		}
		return nil
	})
	if err != nil || model != "mnist" || len(inputs) != 2 || len(raw) != 2 {
		t.Fatalf("%v: %q, %d inputs, %d raw", err, model, len(inputs), len(raw))
	}
	if inputs[0].Name != "x" || inputs[0].Datatype != "FP32" || !slices.Equal(inputs[0].Shape, []int64{1, 2}) {
		t.Errorf("first input %+v", inputs[0])
	}
	if !bytes.Equal(raw[0], []byte("01234567")) || !bytes.Equal(raw[1], []byte("abc")) {
		t.Errorf("raw %q", raw)
	}
}

func TestABodyThatIsNoBinaryRequestIsRefused(t *testing.T) {
	for _, body := range []string{"", "\xff\xd8 an image", `{"inputs":[]}`, binaryHead + "01", binaryHead + "01234567abcd"} {
		if message, err := inferRequest("mnist", []byte(body)); err == nil {
			t.Errorf("%q became %q", body, message)
		}
	}
}

func TestAnAnswerIsRightWhenAllItsResultsAreThere(t *testing.T) {
	whole := make([]byte, 8)
	cases := []struct {
		name    string
		message []byte
		right   bool
	}{
		{"packed", answer([]uint64{1, 2}, true, whole), true},
		{"one by one", answer([]uint64{1, 2}, false, whole), true},
		{"without raw bytes", answer([]uint64{1, 2}, true), true},
		{"another count", answer([]uint64{2, 1}, true, whole), false},
		{"bytes short", answer([]uint64{1, 2}, true, whole[:7]), false},
		{"bytes of another output", answer([]uint64{1, 2}, true, whole, whole), false},
		{"no shape", answer(nil, true, whole), false},
		{"no output", field(nil, responseRaw, whole), false},
		{"nothing", nil, false},
		{"no message", []byte{0xff}, false},
		{"cut", answer([]uint64{1, 2}, true, whole)[:9], false},
	}
	for _, c := range cases {
		if isRightAnswer(c.message, 1, nil) != c.right {
			t.Errorf("wrong about: %s", c.name)
		}
	}
}

func scores(values ...float32) []byte {
	var raw []byte
	for _, value := range values {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(value))
	}
	return raw
}

func TestAnAnswerIsHeldAgainstTheClassThatIsKnownOfItsPayload(t *testing.T) {
	nan := float32(math.NaN())
	cases := []struct {
		name  string
		raw   []byte
		known *Answer
		right bool
	}{
		{"right", scores(0.1, 3, -2), &Answer{Place: 1}, true},
		{"another", scores(4, 3, -2), &Answer{Place: 1}, false},
		{"all below zero", scores(-4, -3, -2), &Answer{Place: 2}, true},
		{"unknown", scores(4, 3, -2), nil, true},
		{"no numbers", scores(nan, nan, nan), &Answer{Place: 0}, false},
	}
	for _, c := range cases {
		if isRightAnswer(answer([]uint64{1, 3}, true, c.raw), 1, c.known) != c.right {
			t.Errorf("wrong about: %s", c.name)
		}
	}
	if !isRightAnswer(answer([]uint64{1, 3}, true), 1, &Answer{Place: 1}) {
		t.Error("an answer without raw bytes is only counted")
	}
}
