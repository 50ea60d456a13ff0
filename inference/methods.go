package inference

import (
	kservev2 "sonde.example/gen/go/inference"
	inferencev1 "sonde.example/gen/go/sonde/inference/v1"
	"sonde.example/inference/kserve"
	"sonde.example/internal/mtls"
	"sonde.example/internal/rpc"
)

// table says who may call what. Whoever has a certificate may ask whether the
// server lives and what it has done; to run rows takes a daemon or an operator, and
// to change what is served an operator.
func table() rpc.Table {
	anybody := mtls.Roles()
	readers := []mtls.Role{mtls.RoleService, mtls.RoleOperator, mtls.RoleViewer}
	callers := []mtls.Role{mtls.RoleService, mtls.RoleOperator}
	operators := []mtls.Role{mtls.RoleOperator}
	methods := rpc.Table{
		kservev2.GRPCInferenceService_ServerLive_FullMethodName:            anybody,
		kservev2.GRPCInferenceService_ServerReady_FullMethodName:           anybody,
		kservev2.GRPCInferenceService_ModelStatistics_FullMethodName:       anybody,
		kservev2.GRPCInferenceService_ModelReady_FullMethodName:            readers,
		kservev2.GRPCInferenceService_ServerMetadata_FullMethodName:        readers,
		kservev2.GRPCInferenceService_ModelMetadata_FullMethodName:         readers,
		kservev2.GRPCInferenceService_ModelConfig_FullMethodName:           readers,
		kservev2.GRPCInferenceService_RepositoryIndex_FullMethodName:       readers,
		kservev2.GRPCInferenceService_ModelInfer_FullMethodName:            callers,
		kservev2.GRPCInferenceService_ModelStreamInfer_FullMethodName:      callers,
		kservev2.GRPCInferenceService_RepositoryModelLoad_FullMethodName:   operators,
		kservev2.GRPCInferenceService_RepositoryModelUnload_FullMethodName: operators,
		inferencev1.ClassifierService_GetModel_FullMethodName:              readers,
		inferencev1.ClassifierService_Classify_FullMethodName:              callers,
		inferencev1.ClassifierService_GetDrift_FullMethodName:              readers,
		inferencev1.ClassifierService_ClassifyStream_FullMethodName:        callers,
		inferencev1.ClassifierService_Explain_FullMethodName:               operators,
	}
	for _, method := range kserve.LeftOut() {
		methods[method] = callers
	}
	return methods
}
