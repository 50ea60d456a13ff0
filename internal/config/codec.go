package config

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	configv1 "sonde.example/gen/go/sonde/config/v1"

	"sonde.example/internal/confstore"
)

// ErrSchema says that a value has a form that this version does not know.
var ErrSchema = errors.New("unknown schema")

// maxDepth is how deep a value may be nested, many times what the messages need.
const maxDepth = 64

// maxPrograms bounds the compiled filters of a value; there are not as many link types that agents meet.
const maxPrograms = 16

// EncodeAgent returns the value of an agent's key: JSON with the fields' proto names. The schema and the hash are the
// caller's to fill. An error says that it is larger than a store takes.
func EncodeAgent(p *configv1.PublishedAgentConfig) ([]byte, error) { return encode(p) }

// DecodeAgent reads the value of an agent's key, which anybody may have written: it has the schema of this version, a
// configuration with its hash, and a name. What the configuration asks for is for ValidateAgent. The warning names a field
// that this version does not know and has left out, and is empty otherwise.
//
// With a schema that is unknown it returns ErrSchema and what could be read, so that its revision can be told.
func DecodeAgent(value []byte) (p *configv1.PublishedAgentConfig, warning string, err error) {
	p = &configv1.PublishedAgentConfig{}
	if warning, err = decode(value, p); err != nil {
		return nil, "", err
	}
	if n := len(p.GetPrograms()); n > maxPrograms {
		return nil, "", fmt.Errorf("%d programs are more than %d", n, maxPrograms)
	}
	return p, warning, check(p.GetSchema(), p.GetName(), p.GetConfig() != nil, p.GetHash(), HashAgent(p.GetConfig()), warning)
}

// EncodeService returns the value of a service's key.
func EncodeService(p *configv1.PublishedServiceConfig) ([]byte, error) { return encode(p) }

// DecodeService reads the value of a service's key as DecodeAgent does an agent's.
func DecodeService(value []byte) (p *configv1.PublishedServiceConfig, warning string, err error) {
	p = &configv1.PublishedServiceConfig{}
	if warning, err = decode(value, p); err != nil {
		return nil, "", err
	}
	return p, warning, check(p.GetSchema(), p.GetName(), p.GetConfig() != nil, p.GetHash(), HashService(p.GetConfig()), warning)
}

// EncodeStatus returns the value of a status key.
func EncodeStatus(s *configv1.ConfigStatus) ([]byte, error) { return encode(s) }

// DecodeStatus reads a status, which any daemon may have written. The warning names a field that is not known.
func DecodeStatus(value []byte) (s *configv1.ConfigStatus, warning string, err error) {
	s = &configv1.ConfigStatus{}
	if warning, err = decode(value, s); err != nil {
		return nil, "", err
	}
	return s, warning, CheckName(s.GetName())
}

// check looks at what every published value has. A value with unknown fields may have them in its hash, which is then the
// publisher's word.
func check(schema uint32, name string, there bool, hash, want, warning string) error {
	if schema != Schema {
		return fmt.Errorf("%w %d, this version knows %d", ErrSchema, schema, Schema)
	}
	if err := CheckName(name); err != nil {
		return err
	}
	if !there {
		return errors.New("there is no configuration in it")
	}
	if len(hash) != len(want) {
		return fmt.Errorf("hash of %d characters, expected %d", len(hash), len(want))
	}
	if warning == "" && hash != want {
		return fmt.Errorf("hash is %.12s, that of its contents is %.12s", hash, want)
	}
	return nil
}

func encode(m proto.Message) ([]byte, error) {
	value, err := protojson.MarshalOptions{UseProtoNames: true, EmitDefaultValues: false}.Marshal(m)
	if err != nil {
		return nil, err
	}
	if len(value) > confstore.MaxValueBytes {
		return nil, fmt.Errorf("%d bytes are more than %d", len(value), confstore.MaxValueBytes)
	}
	return value, nil
}

// decode reads JSON; what it does not know becomes a warning.
func decode(value []byte, m proto.Message) (warning string, err error) {
	if len(value) > confstore.MaxValueBytes {
		return "", fmt.Errorf("%d bytes are more than %d", len(value), confstore.MaxValueBytes)
	}
	strict := protojson.UnmarshalOptions{RecursionLimit: maxDepth}.Unmarshal(value, m)
	if strict == nil {
		return "", nil
	}
	proto.Reset(m)
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true, RecursionLimit: maxDepth}).Unmarshal(value, m); err != nil {
		return "", err
	}
	return fmt.Sprintf("left out what this version does not know: %.200s", strict), nil
}
