package kserve

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc/status"

	kservev2 "sonde.example/gen/go/inference"
	"sonde.example/internal/rpc"
)

// streamWindow is how many requests of one stream are under way at once: enough
// to fill runs from a single client (a window of 32 took a third of the CPU a
// request that single calls take).
const streamWindow = 32

// ModelStreamInfer runs requests as they come and answers them in their order.
//
//	Recv -> go infer -> answers (a channel of channels, in order) -> Send
//
// Requests that fail are answered in band. The stream ends when the client has
// closed its side and everything is answered, or with UNAVAILABLE when the server
// drains and what was under way is answered.
func (s *Service) ModelStreamInfer(stream kservev2.GRPCInferenceService_ModelStreamInferServer) error {
	ctx := stream.Context()
	taking, stop := context.WithCancel(ctx)
	defer stop()
	answers := make(chan chan *kservev2.ModelStreamInferResponse, streamWindow)
	var failed error // by the receiver, before it closes answers
	// The receiver is not waited for: a Recv that nothing comes for ends only after
	// this handler has returned.
	go func() {
		defer close(answers)
		failed = s.receive(taking, stream, answers)
	}()
	draining := rpc.Draining(ctx)
	for {
		select {
		case answer, ok := <-answers:
			if !ok {
				return failed
			}
			if err := stream.Send(<-answer); err != nil {
				return err
			}
		case <-draining:
			return s.finish(stream, stop, answers)
		}
	}
}

// receive takes requests until the client closes its side, and starts each.
func (s *Service) receive(ctx context.Context, stream kservev2.GRPCInferenceService_ModelStreamInferServer, answers chan<- chan *kservev2.ModelStreamInferResponse) error {
	for {
		r := s.newRequest()
		err := stream.RecvMsg(r)
		if err != nil {
			r.free()
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		answer := make(chan *kservev2.ModelStreamInferResponse, 1)
		select {
		case answers <- answer: // the window: it waits here while too many are under way
		case <-ctx.Done():
			r.free()
			return ctx.Err()
		}
		go func() {
			defer r.free()
			answer <- s.answer(stream.Context(), r.ModelInferRequest)
		}()
	}
}

// finish answers what was taken, and takes no more.
func (s *Service) finish(stream kservev2.GRPCInferenceService_ModelStreamInferServer, stop func(), answers <-chan chan *kservev2.ModelStreamInferResponse) error {
	stop()
	for {
		select {
		case answer, ok := <-answers:
			if !ok {
				return nil
			}
			if err := stream.Send(<-answer); err != nil {
				return err
			}
		default:
			return rpc.Unavailable(retryDelay, rpc.ReasonDraining, "the server is shutting down")
		}
	}
}

// answer runs one request of a stream; an error becomes part of the answer.
func (s *Service) answer(ctx context.Context, r *kservev2.ModelInferRequest) *kservev2.ModelStreamInferResponse {
	response, err := s.infer(ctx, r)
	if err == nil {
		response.Parameters = final()
		return &kservev2.ModelStreamInferResponse{InferResponse: response}
	}
	message := "internal error"
	if st, ok := status.FromError(toStatus(err)); ok {
		message = st.Message()
	} else if ctx.Err() == nil {
		s.log.Error("request of a stream failed", "err", err)
	}
	if id := r.GetId(); id != "" { // as Triton writes it: its Python client passes on nothing but the message
		message = "[request id: " + id + "] " + message
	}
	return &kservev2.ModelStreamInferResponse{ErrorMessage: message, InferResponse: &kservev2.ModelInferResponse{
		ModelName: r.GetModelName(), ModelVersion: r.GetModelVersion(), Id: r.GetId(), Parameters: final(),
	}}
}

// final says that no other answer to the same request follows, as Triton says it in
// streams: some of its clients wait for it.
func final() map[string]*kservev2.InferParameter {
	return map[string]*kservev2.InferParameter{
		"triton_final_response": {ParameterChoice: &kservev2.InferParameter_BoolParam{BoolParam: true}},
	}
}
