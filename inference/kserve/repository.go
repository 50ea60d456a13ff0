package kserve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"

	kservev2 "sonde.example/gen/go/inference"
	"sonde.example/internal/rpc"
	"sonde.example/internal/serving"
)

// RepositoryIndex lists what lies in the repository.
func (s *Service) RepositoryIndex(_ context.Context, r *kservev2.RepositoryIndexRequest) (*kservev2.RepositoryIndexResponse, error) {
	if err := onlyRepository(r.GetRepositoryName()); err != nil {
		return nil, err
	}
	entries, err := s.opts.Models.Index()
	if err != nil {
		return nil, err
	}
	response := &kservev2.RepositoryIndexResponse{}
	for _, e := range entries {
		if r.GetReady() && e.State != serving.Ready {
			continue
		}
		response.Models = append(response.Models, &kservev2.RepositoryIndexResponse_ModelIndex{
			Name: e.Name, Version: e.Version, State: string(e.State), Reason: e.Reason,
		})
	}
	return response, nil
}

// RepositoryModelLoad loads a model, or loads it again.
func (s *Service) RepositoryModelLoad(ctx context.Context, r *kservev2.RepositoryModelLoadRequest) (*kservev2.RepositoryModelLoadResponse, error) {
	if err := onlyRepository(r.GetRepositoryName()); err != nil {
		return nil, err
	}
	policy, err := s.versionPolicy(r.GetModelName(), r.GetParameters())
	if err != nil {
		return nil, err
	}
	err = s.opts.Models.Load(ctx, r.GetModelName(), policy)
	if errors.Is(err, serving.ErrNotFound) {
		if len(policy.Specific) > 0 {
			return nil, rpc.NotFound("version in the repository of", fmt.Sprintf("%s/%d", r.GetModelName(), policy.Specific))
		}
		return nil, rpc.NotFound("model in the repository named", r.GetModelName())
	}
	if err != nil {
		return nil, toStatus(err)
	}
	return &kservev2.RepositoryModelLoadResponse{}, nil
}

// RepositoryModelUnload takes a model out of service.
func (s *Service) RepositoryModelUnload(_ context.Context, r *kservev2.RepositoryModelUnloadRequest) (*kservev2.RepositoryModelUnloadResponse, error) {
	if err := onlyRepository(r.GetRepositoryName()); err != nil {
		return nil, err
	}
	if err := s.opts.Models.Unload(r.GetModelName()); errors.Is(err, serving.ErrNotFound) {
		return nil, notFound(r.GetModelName(), "")
	} else if err != nil {
		return nil, toStatus(err)
	}
	return &kservev2.RepositoryModelUnloadResponse{}, nil
}

func onlyRepository(name string) error {
	if name != "" {
		return rpc.InvalidArgument("repository_name", "there is one repository only, leave it empty")
	}
	return nil
}

// versionPolicy reads the parameter `config`: a ModelConfig as JSON, in which only
// the version policy is the caller's to set. All else has to be as ModelConfig
// tells it, so that what was got from there can be sent back with another policy.
func (s *Service) versionPolicy(name string, parameters map[string]*kservev2.ModelRepositoryParameter) (serving.VersionPolicy, error) {
	for _, name := range slices.Sorted(maps.Keys(parameters)) {
		if name != "config" {
			return serving.VersionPolicy{}, rpc.InvalidArgument("parameters["+name+"]", "is not supported: models lie in the server's own folder")
		}
	}
	text := parameters["config"].GetStringParam()
	if text == "" {
		return serving.VersionPolicy{}, nil
	}
	var c kservev2.ModelConfig
	if err := protojson.Unmarshal([]byte(text), &c); err != nil {
		return serving.VersionPolicy{}, rpc.InvalidArgument("parameters[config]", "%s", err)
	}
	policy := c.GetVersionPolicy()
	if changed := s.changed(name, &c); changed != "" {
		return serving.VersionPolicy{}, rpc.InvalidArgument("parameters[config]", "%s cannot be set, only version_policy can", changed)
	}
	switch p := policy.GetPolicyChoice().(type) {
	case *kservev2.ModelVersionPolicy_All_:
		return serving.VersionPolicy{All: true}, nil
	case *kservev2.ModelVersionPolicy_Specific_:
		if len(p.Specific.GetVersions()) == 0 {
			return serving.VersionPolicy{}, rpc.InvalidArgument("parameters[config]", "no versions are listed")
		}
		return serving.VersionPolicy{Specific: p.Specific.GetVersions()}, nil
	case *kservev2.ModelVersionPolicy_Latest_:
		return serving.VersionPolicy{Latest: int(min(p.Latest.GetNumVersions(), 1<<16))}, nil
	}
	return serving.VersionPolicy{}, nil
}

// changed names a field, the version policy apart, that is not as it is in force;
// empty if there is none.
func (s *Service) changed(name string, c *kservev2.ModelConfig) (field string) {
	current := &kservev2.ModelConfig{Name: name, Platform: platform, Backend: backend, DefaultModelFilename: fileName}
	if lease, err := s.opts.Models.Acquire(name, ""); err == nil {
		defer lease.Release()
		current = s.config(lease.Info())
	}
	c.ProtoReflect().Range(func(d protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if d.Name() != "version_policy" && !v.Equal(current.ProtoReflect().Get(d)) {
			field = string(d.Name())
		}
		return field == ""
	})
	return field
}

// ModelStatistics tells what models have done since they were loaded.
func (s *Service) ModelStatistics(_ context.Context, r *kservev2.ModelStatisticsRequest) (*kservev2.ModelStatisticsResponse, error) {
	if r.GetName() != "" {
		lease, err := s.acquire(r.GetName(), r.GetVersion())
		if err != nil {
			return nil, err
		}
		lease.Release()
	}
	response := &kservev2.ModelStatisticsResponse{}
	for _, lease := range s.opts.Models.Loaded() {
		info := lease.Info()
		if (r.GetName() == "" || r.GetName() == info.Name) && (r.GetVersion() == "" || r.GetVersion() == info.VersionString()) {
			response.ModelStats = append(response.ModelStats, statistics(info, lease.Stats().Snapshot()))
		}
		lease.Release()
	}
	return response, nil
}

func statistics(info *serving.Info, s serving.Statistics) *kservev2.ModelStatistics {
	var fail serving.Duration
	for _, d := range s.Failed {
		fail.Add(int(d.Count), d.Time)
	}
	m := &kservev2.ModelStatistics{
		Name: info.Name, Version: info.VersionString(), InferenceCount: s.Rows, ExecutionCount: s.Runs,
		InferenceStats: &kservev2.InferStatistics{
			Success: duration(s.Success), Fail: duration(fail), Queue: duration(s.Queue),
			ComputeInput: duration(s.Input), ComputeInfer: duration(s.Infer), ComputeOutput: duration(s.Output),
			CacheHit: &kservev2.StatisticDuration{}, CacheMiss: &kservev2.StatisticDuration{},
		},
	}
	if !s.Last.IsZero() {
		m.LastInference = uint64(s.Last.UnixMilli())
	}
	for rows, b := range s.Batches {
		m.BatchStats = append(m.BatchStats, &kservev2.InferBatchStatistics{
			BatchSize: uint64(rows), ComputeInput: duration(b.Input), ComputeInfer: duration(b.Infer), ComputeOutput: duration(b.Output),
		})
	}
	slices.SortFunc(m.BatchStats, func(a, b *kservev2.InferBatchStatistics) int { return cmp.Compare(a.GetBatchSize(), b.GetBatchSize()) })
	return m
}

func duration(d serving.Duration) *kservev2.StatisticDuration {
	return &kservev2.StatisticDuration{Count: d.Count, Ns: uint64(d.Time)}
}
