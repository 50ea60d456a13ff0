package kserve

import (
	"context"

	kservev2 "sonde.example/gen/go/inference"
	"sonde.example/internal/serving"
)

const (
	serverName = "sonde"
	platform   = "onnxruntime_onnx"
	backend    = "onnxruntime"
	fileName   = "model.onnx" // in each version's folder
)

// ServerMetadata names the server.
func (s *Service) ServerMetadata(context.Context, *kservev2.ServerMetadataRequest) (*kservev2.ServerMetadataResponse, error) {
	return &kservev2.ServerMetadataResponse{Name: serverName, Version: s.opts.Version, Extensions: []string{
		"classification", "model_configuration", "model_repository", "schedule_policy", "statistics",
	}}, nil
}

// ModelMetadata tells a model's tensors and what its file says about itself.
func (s *Service) ModelMetadata(_ context.Context, r *kservev2.ModelMetadataRequest) (*kservev2.ModelMetadataResponse, error) {
	lease, err := s.acquire(r.GetName(), r.GetVersion())
	if err != nil {
		return nil, err
	}
	defer lease.Release()
	info := lease.Info()
	return &kservev2.ModelMetadataResponse{
		Name: info.Name, Versions: s.versions(info.Name), Platform: platform,
		Inputs: tensors(info.Inputs), Outputs: tensors(info.Outputs), Properties: info.Properties,
	}, nil
}

// versions lists the versions of a model that are loaded.
func (s *Service) versions(name string) []string {
	var all []string
	for _, lease := range s.opts.Models.Loaded() {
		if info := lease.Info(); info.Name == name {
			all = append(all, info.VersionString())
		}
		lease.Release()
	}
	return all
}

func tensors(forms []serving.Tensor) []*kservev2.ModelMetadataResponse_TensorMetadata {
	all := make([]*kservev2.ModelMetadataResponse_TensorMetadata, len(forms))
	for i := range forms {
		all[i] = &kservev2.ModelMetadataResponse_TensorMetadata{Name: forms[i].Name, Datatype: forms[i].Type.String(), Shape: forms[i].Shape()}
	}
	return all
}

// ModelConfig tells how a model is served. Tensors of one element a row have no
// dims, where Triton would write 1. What the file says of itself stands in the
// parameters too, where a client of Triton looks for it.
func (s *Service) ModelConfig(_ context.Context, r *kservev2.ModelConfigRequest) (*kservev2.ModelConfigResponse, error) {
	lease, err := s.acquire(r.GetName(), r.GetVersion())
	if err != nil {
		return nil, err
	}
	defer lease.Release()
	return &kservev2.ModelConfigResponse{Config: s.config(lease.Info())}, nil
}

// config tells how a loaded version is served.
func (s *Service) config(info *serving.Info) *kservev2.ModelConfig {
	c := &kservev2.ModelConfig{
		Name: info.Name, Platform: platform, Backend: backend, DefaultModelFilename: fileName,
		MaxBatchSize: serving.MaxRequestRows,
		VersionPolicy: &kservev2.ModelVersionPolicy{PolicyChoice: &kservev2.ModelVersionPolicy_Specific_{
			Specific: &kservev2.ModelVersionPolicy_Specific{},
		}},
		InstanceGroup: []*kservev2.ModelInstanceGroup{{Name: info.Name, Count: int32(s.opts.Workers), Kind: kservev2.ModelInstanceGroup_KIND_CPU}},
		SchedulingChoice: &kservev2.ModelConfig_DynamicBatching{DynamicBatching: &kservev2.ModelDynamicBatching{
			MaxQueueDelayMicroseconds: uint64(s.opts.MaxDelay.Microseconds()),
			PriorityLevels:            serving.PriorityLevels, DefaultPriorityLevel: serving.PriorityBulk,
			DefaultQueuePolicy: &kservev2.ModelQueuePolicy{AllowTimeoutOverride: true, MaxQueueSize: uint32(s.opts.MaxQueueRows)},
		}},
		ModelTransactionPolicy: &kservev2.ModelTransactionPolicy{},
		Parameters:             parameters(info),
	}
	for _, lease := range s.opts.Models.Loaded() {
		if other := lease.Info(); other.Name == info.Name {
			policy := c.GetVersionPolicy().GetSpecific()
			policy.Versions = append(policy.Versions, other.Version)
		}
		lease.Release()
	}
	for i := range info.Inputs {
		c.Input = append(c.Input, &kservev2.ModelInput{Name: info.Inputs[i].Name, DataType: dataType(info.Inputs[i].Type), Dims: info.Inputs[i].Dims})
	}
	for i := range info.Outputs {
		c.Output = append(c.Output, &kservev2.ModelOutput{Name: info.Outputs[i].Name, DataType: dataType(info.Outputs[i].Type), Dims: info.Outputs[i].Dims})
	}
	return c
}

func parameters(info *serving.Info) map[string]*kservev2.ModelParameter {
	all := map[string]*kservev2.ModelParameter{"sha256": {StringValue: info.SHA256}}
	for key, value := range info.Properties {
		all[key] = &kservev2.ModelParameter{StringValue: value}
	}
	return all
}

// dataType is the configuration's word for a type: FP32 is TYPE_FP32 there.
func dataType(t serving.DataType) kservev2.DataType {
	if t == serving.Bytes {
		return kservev2.DataType_TYPE_STRING
	}
	return kservev2.DataType(kservev2.DataType_value["TYPE_"+t.String()])
}
