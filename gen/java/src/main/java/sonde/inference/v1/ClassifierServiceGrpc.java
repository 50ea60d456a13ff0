package sonde.inference.v1;

import static io.grpc.MethodDescriptor.generateFullMethodName;

/**
 * <pre>
 * ClassifierService says what a session is from the head of its traffic.
 * </pre>
 */
@io.grpc.stub.annotations.GrpcGenerated
public final class ClassifierServiceGrpc {

  private ClassifierServiceGrpc() {}

  public static final java.lang.String SERVICE_NAME = "sonde.inference.v1.ClassifierService";

  // Static method descriptors that strictly reflect the proto.
  private static volatile io.grpc.MethodDescriptor<sonde.inference.v1.ClassifyRequest,
      sonde.inference.v1.ClassifyResponse> getClassifyMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "Classify",
      requestType = sonde.inference.v1.ClassifyRequest.class,
      responseType = sonde.inference.v1.ClassifyResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<sonde.inference.v1.ClassifyRequest,
      sonde.inference.v1.ClassifyResponse> getClassifyMethod() {
    io.grpc.MethodDescriptor<sonde.inference.v1.ClassifyRequest, sonde.inference.v1.ClassifyResponse> getClassifyMethod;
    if ((getClassifyMethod = ClassifierServiceGrpc.getClassifyMethod) == null) {
      synchronized (ClassifierServiceGrpc.class) {
        if ((getClassifyMethod = ClassifierServiceGrpc.getClassifyMethod) == null) {
          ClassifierServiceGrpc.getClassifyMethod = getClassifyMethod =
              io.grpc.MethodDescriptor.<sonde.inference.v1.ClassifyRequest, sonde.inference.v1.ClassifyResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "Classify"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  sonde.inference.v1.ClassifyRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  sonde.inference.v1.ClassifyResponse.getDefaultInstance()))
              .setSchemaDescriptor(new ClassifierServiceMethodDescriptorSupplier("Classify"))
              .build();
        }
      }
    }
    return getClassifyMethod;
  }

  private static volatile io.grpc.MethodDescriptor<sonde.inference.v1.ClassifyStreamRequest,
      sonde.inference.v1.ClassifyStreamResponse> getClassifyStreamMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "ClassifyStream",
      requestType = sonde.inference.v1.ClassifyStreamRequest.class,
      responseType = sonde.inference.v1.ClassifyStreamResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.BIDI_STREAMING)
  public static io.grpc.MethodDescriptor<sonde.inference.v1.ClassifyStreamRequest,
      sonde.inference.v1.ClassifyStreamResponse> getClassifyStreamMethod() {
    io.grpc.MethodDescriptor<sonde.inference.v1.ClassifyStreamRequest, sonde.inference.v1.ClassifyStreamResponse> getClassifyStreamMethod;
    if ((getClassifyStreamMethod = ClassifierServiceGrpc.getClassifyStreamMethod) == null) {
      synchronized (ClassifierServiceGrpc.class) {
        if ((getClassifyStreamMethod = ClassifierServiceGrpc.getClassifyStreamMethod) == null) {
          ClassifierServiceGrpc.getClassifyStreamMethod = getClassifyStreamMethod =
              io.grpc.MethodDescriptor.<sonde.inference.v1.ClassifyStreamRequest, sonde.inference.v1.ClassifyStreamResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.BIDI_STREAMING)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "ClassifyStream"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  sonde.inference.v1.ClassifyStreamRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  sonde.inference.v1.ClassifyStreamResponse.getDefaultInstance()))
              .setSchemaDescriptor(new ClassifierServiceMethodDescriptorSupplier("ClassifyStream"))
              .build();
        }
      }
    }
    return getClassifyStreamMethod;
  }

  private static volatile io.grpc.MethodDescriptor<sonde.inference.v1.GetModelRequest,
      sonde.inference.v1.GetModelResponse> getGetModelMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "GetModel",
      requestType = sonde.inference.v1.GetModelRequest.class,
      responseType = sonde.inference.v1.GetModelResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<sonde.inference.v1.GetModelRequest,
      sonde.inference.v1.GetModelResponse> getGetModelMethod() {
    io.grpc.MethodDescriptor<sonde.inference.v1.GetModelRequest, sonde.inference.v1.GetModelResponse> getGetModelMethod;
    if ((getGetModelMethod = ClassifierServiceGrpc.getGetModelMethod) == null) {
      synchronized (ClassifierServiceGrpc.class) {
        if ((getGetModelMethod = ClassifierServiceGrpc.getGetModelMethod) == null) {
          ClassifierServiceGrpc.getGetModelMethod = getGetModelMethod =
              io.grpc.MethodDescriptor.<sonde.inference.v1.GetModelRequest, sonde.inference.v1.GetModelResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "GetModel"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  sonde.inference.v1.GetModelRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  sonde.inference.v1.GetModelResponse.getDefaultInstance()))
              .setSchemaDescriptor(new ClassifierServiceMethodDescriptorSupplier("GetModel"))
              .build();
        }
      }
    }
    return getGetModelMethod;
  }

  private static volatile io.grpc.MethodDescriptor<sonde.inference.v1.ExplainRequest,
      sonde.inference.v1.ExplainResponse> getExplainMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "Explain",
      requestType = sonde.inference.v1.ExplainRequest.class,
      responseType = sonde.inference.v1.ExplainResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<sonde.inference.v1.ExplainRequest,
      sonde.inference.v1.ExplainResponse> getExplainMethod() {
    io.grpc.MethodDescriptor<sonde.inference.v1.ExplainRequest, sonde.inference.v1.ExplainResponse> getExplainMethod;
    if ((getExplainMethod = ClassifierServiceGrpc.getExplainMethod) == null) {
      synchronized (ClassifierServiceGrpc.class) {
        if ((getExplainMethod = ClassifierServiceGrpc.getExplainMethod) == null) {
          ClassifierServiceGrpc.getExplainMethod = getExplainMethod =
              io.grpc.MethodDescriptor.<sonde.inference.v1.ExplainRequest, sonde.inference.v1.ExplainResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "Explain"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  sonde.inference.v1.ExplainRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  sonde.inference.v1.ExplainResponse.getDefaultInstance()))
              .setSchemaDescriptor(new ClassifierServiceMethodDescriptorSupplier("Explain"))
              .build();
        }
      }
    }
    return getExplainMethod;
  }

  private static volatile io.grpc.MethodDescriptor<sonde.inference.v1.GetDriftRequest,
      sonde.inference.v1.GetDriftResponse> getGetDriftMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "GetDrift",
      requestType = sonde.inference.v1.GetDriftRequest.class,
      responseType = sonde.inference.v1.GetDriftResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<sonde.inference.v1.GetDriftRequest,
      sonde.inference.v1.GetDriftResponse> getGetDriftMethod() {
    io.grpc.MethodDescriptor<sonde.inference.v1.GetDriftRequest, sonde.inference.v1.GetDriftResponse> getGetDriftMethod;
    if ((getGetDriftMethod = ClassifierServiceGrpc.getGetDriftMethod) == null) {
      synchronized (ClassifierServiceGrpc.class) {
        if ((getGetDriftMethod = ClassifierServiceGrpc.getGetDriftMethod) == null) {
          ClassifierServiceGrpc.getGetDriftMethod = getGetDriftMethod =
              io.grpc.MethodDescriptor.<sonde.inference.v1.GetDriftRequest, sonde.inference.v1.GetDriftResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "GetDrift"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  sonde.inference.v1.GetDriftRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  sonde.inference.v1.GetDriftResponse.getDefaultInstance()))
              .setSchemaDescriptor(new ClassifierServiceMethodDescriptorSupplier("GetDrift"))
              .build();
        }
      }
    }
    return getGetDriftMethod;
  }

  /**
   * Creates a new async stub that supports all call types for the service
   */
  public static ClassifierServiceStub newStub(io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<ClassifierServiceStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<ClassifierServiceStub>() {
        @java.lang.Override
        public ClassifierServiceStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new ClassifierServiceStub(channel, callOptions);
        }
      };
    return ClassifierServiceStub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports all types of calls on the service
   */
  public static ClassifierServiceBlockingV2Stub newBlockingV2Stub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<ClassifierServiceBlockingV2Stub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<ClassifierServiceBlockingV2Stub>() {
        @java.lang.Override
        public ClassifierServiceBlockingV2Stub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new ClassifierServiceBlockingV2Stub(channel, callOptions);
        }
      };
    return ClassifierServiceBlockingV2Stub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports unary and streaming output calls on the service
   */
  public static ClassifierServiceBlockingStub newBlockingStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<ClassifierServiceBlockingStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<ClassifierServiceBlockingStub>() {
        @java.lang.Override
        public ClassifierServiceBlockingStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new ClassifierServiceBlockingStub(channel, callOptions);
        }
      };
    return ClassifierServiceBlockingStub.newStub(factory, channel);
  }

  /**
   * Creates a new ListenableFuture-style stub that supports unary calls on the service
   */
  public static ClassifierServiceFutureStub newFutureStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<ClassifierServiceFutureStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<ClassifierServiceFutureStub>() {
        @java.lang.Override
        public ClassifierServiceFutureStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new ClassifierServiceFutureStub(channel, callOptions);
        }
      };
    return ClassifierServiceFutureStub.newStub(factory, channel);
  }

  /**
   * <pre>
   * ClassifierService says what a session is from the head of its traffic.
   * </pre>
   */
  public interface AsyncService {

    /**
     * <pre>
     * Classify answers with one classification for each session, in order. Roles: service, operator. Too many requests at
     * once: RESOURCE_EXHAUSTED with RetryInfo; unknown model or version: NOT_FOUND; a session that contradicts itself:
     * INVALID_ARGUMENT that names its field.
     * </pre>
     */
    default void classify(sonde.inference.v1.ClassifyRequest request,
        io.grpc.stub.StreamObserver<sonde.inference.v1.ClassifyResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getClassifyMethod(), responseObserver);
    }

    /**
     * <pre>
     * ClassifyStream answers requests in their order, each with a response or, where Classify would fail, with an error in
     * its place; the stream goes on. At most 64 requests of a stream are worked on at once; the server reads no further then.
     * Roles: service, operator.
     * </pre>
     */
    default io.grpc.stub.StreamObserver<sonde.inference.v1.ClassifyStreamRequest> classifyStream(
        io.grpc.stub.StreamObserver<sonde.inference.v1.ClassifyStreamResponse> responseObserver) {
      return io.grpc.stub.ServerCalls.asyncUnimplementedStreamingCall(getClassifyStreamMethod(), responseObserver);
    }

    /**
     * <pre>
     * GetModel tells what is loaded. Roles: service, operator, viewer.
     * </pre>
     */
    default void getModel(sonde.inference.v1.GetModelRequest request,
        io.grpc.stub.StreamObserver<sonde.inference.v1.GetModelResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getGetModelMethod(), responseObserver);
    }

    /**
     * <pre>
     * Explain says which parts of the head the classification rests on. Role: operator.
     * </pre>
     */
    default void explain(sonde.inference.v1.ExplainRequest request,
        io.grpc.stub.StreamObserver<sonde.inference.v1.ExplainResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getExplainMethod(), responseObserver);
    }

    /**
     * <pre>
     * GetDrift compares what came since the version was loaded with what it was trained on. Roles: service, operator, viewer.
     * A model without a reference: FAILED_PRECONDITION.
     * </pre>
     */
    default void getDrift(sonde.inference.v1.GetDriftRequest request,
        io.grpc.stub.StreamObserver<sonde.inference.v1.GetDriftResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getGetDriftMethod(), responseObserver);
    }
  }

  /**
   * Base class for the server implementation of the service ClassifierService.
   * <pre>
   * ClassifierService says what a session is from the head of its traffic.
   * </pre>
   */
  public static abstract class ClassifierServiceImplBase
      implements io.grpc.BindableService, AsyncService {

    @java.lang.Override public final io.grpc.ServerServiceDefinition bindService() {
      return ClassifierServiceGrpc.bindService(this);
    }
  }

  /**
   * A stub to allow clients to do asynchronous rpc calls to service ClassifierService.
   * <pre>
   * ClassifierService says what a session is from the head of its traffic.
   * </pre>
   */
  public static final class ClassifierServiceStub
      extends io.grpc.stub.AbstractAsyncStub<ClassifierServiceStub> {
    private ClassifierServiceStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected ClassifierServiceStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new ClassifierServiceStub(channel, callOptions);
    }

    /**
     * <pre>
     * Classify answers with one classification for each session, in order. Roles: service, operator. Too many requests at
     * once: RESOURCE_EXHAUSTED with RetryInfo; unknown model or version: NOT_FOUND; a session that contradicts itself:
     * INVALID_ARGUMENT that names its field.
     * </pre>
     */
    public void classify(sonde.inference.v1.ClassifyRequest request,
        io.grpc.stub.StreamObserver<sonde.inference.v1.ClassifyResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getClassifyMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * ClassifyStream answers requests in their order, each with a response or, where Classify would fail, with an error in
     * its place; the stream goes on. At most 64 requests of a stream are worked on at once; the server reads no further then.
     * Roles: service, operator.
     * </pre>
     */
    public io.grpc.stub.StreamObserver<sonde.inference.v1.ClassifyStreamRequest> classifyStream(
        io.grpc.stub.StreamObserver<sonde.inference.v1.ClassifyStreamResponse> responseObserver) {
      return io.grpc.stub.ClientCalls.asyncBidiStreamingCall(
          getChannel().newCall(getClassifyStreamMethod(), getCallOptions()), responseObserver);
    }

    /**
     * <pre>
     * GetModel tells what is loaded. Roles: service, operator, viewer.
     * </pre>
     */
    public void getModel(sonde.inference.v1.GetModelRequest request,
        io.grpc.stub.StreamObserver<sonde.inference.v1.GetModelResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getGetModelMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Explain says which parts of the head the classification rests on. Role: operator.
     * </pre>
     */
    public void explain(sonde.inference.v1.ExplainRequest request,
        io.grpc.stub.StreamObserver<sonde.inference.v1.ExplainResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getExplainMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * GetDrift compares what came since the version was loaded with what it was trained on. Roles: service, operator, viewer.
     * A model without a reference: FAILED_PRECONDITION.
     * </pre>
     */
    public void getDrift(sonde.inference.v1.GetDriftRequest request,
        io.grpc.stub.StreamObserver<sonde.inference.v1.GetDriftResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getGetDriftMethod(), getCallOptions()), request, responseObserver);
    }
  }

  /**
   * A stub to allow clients to do synchronous rpc calls to service ClassifierService.
   * <pre>
   * ClassifierService says what a session is from the head of its traffic.
   * </pre>
   */
  public static final class ClassifierServiceBlockingV2Stub
      extends io.grpc.stub.AbstractBlockingStub<ClassifierServiceBlockingV2Stub> {
    private ClassifierServiceBlockingV2Stub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected ClassifierServiceBlockingV2Stub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new ClassifierServiceBlockingV2Stub(channel, callOptions);
    }

    /**
     * <pre>
     * Classify answers with one classification for each session, in order. Roles: service, operator. Too many requests at
     * once: RESOURCE_EXHAUSTED with RetryInfo; unknown model or version: NOT_FOUND; a session that contradicts itself:
     * INVALID_ARGUMENT that names its field.
     * </pre>
     */
    public sonde.inference.v1.ClassifyResponse classify(sonde.inference.v1.ClassifyRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getClassifyMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * ClassifyStream answers requests in their order, each with a response or, where Classify would fail, with an error in
     * its place; the stream goes on. At most 64 requests of a stream are worked on at once; the server reads no further then.
     * Roles: service, operator.
     * </pre>
     */
    @io.grpc.ExperimentalApi("https://github.com/grpc/grpc-java/issues/10918")
    public io.grpc.stub.BlockingClientCall<sonde.inference.v1.ClassifyStreamRequest, sonde.inference.v1.ClassifyStreamResponse>
        classifyStream() {
      return io.grpc.stub.ClientCalls.blockingBidiStreamingCall(
          getChannel(), getClassifyStreamMethod(), getCallOptions());
    }

    /**
     * <pre>
     * GetModel tells what is loaded. Roles: service, operator, viewer.
     * </pre>
     */
    public sonde.inference.v1.GetModelResponse getModel(sonde.inference.v1.GetModelRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getGetModelMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Explain says which parts of the head the classification rests on. Role: operator.
     * </pre>
     */
    public sonde.inference.v1.ExplainResponse explain(sonde.inference.v1.ExplainRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getExplainMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * GetDrift compares what came since the version was loaded with what it was trained on. Roles: service, operator, viewer.
     * A model without a reference: FAILED_PRECONDITION.
     * </pre>
     */
    public sonde.inference.v1.GetDriftResponse getDrift(sonde.inference.v1.GetDriftRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getGetDriftMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do limited synchronous rpc calls to service ClassifierService.
   * <pre>
   * ClassifierService says what a session is from the head of its traffic.
   * </pre>
   */
  public static final class ClassifierServiceBlockingStub
      extends io.grpc.stub.AbstractBlockingStub<ClassifierServiceBlockingStub> {
    private ClassifierServiceBlockingStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected ClassifierServiceBlockingStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new ClassifierServiceBlockingStub(channel, callOptions);
    }

    /**
     * <pre>
     * Classify answers with one classification for each session, in order. Roles: service, operator. Too many requests at
     * once: RESOURCE_EXHAUSTED with RetryInfo; unknown model or version: NOT_FOUND; a session that contradicts itself:
     * INVALID_ARGUMENT that names its field.
     * </pre>
     */
    public sonde.inference.v1.ClassifyResponse classify(sonde.inference.v1.ClassifyRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getClassifyMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * GetModel tells what is loaded. Roles: service, operator, viewer.
     * </pre>
     */
    public sonde.inference.v1.GetModelResponse getModel(sonde.inference.v1.GetModelRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getGetModelMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Explain says which parts of the head the classification rests on. Role: operator.
     * </pre>
     */
    public sonde.inference.v1.ExplainResponse explain(sonde.inference.v1.ExplainRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getExplainMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * GetDrift compares what came since the version was loaded with what it was trained on. Roles: service, operator, viewer.
     * A model without a reference: FAILED_PRECONDITION.
     * </pre>
     */
    public sonde.inference.v1.GetDriftResponse getDrift(sonde.inference.v1.GetDriftRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getGetDriftMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do ListenableFuture-style rpc calls to service ClassifierService.
   * <pre>
   * ClassifierService says what a session is from the head of its traffic.
   * </pre>
   */
  public static final class ClassifierServiceFutureStub
      extends io.grpc.stub.AbstractFutureStub<ClassifierServiceFutureStub> {
    private ClassifierServiceFutureStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected ClassifierServiceFutureStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new ClassifierServiceFutureStub(channel, callOptions);
    }

    /**
     * <pre>
     * Classify answers with one classification for each session, in order. Roles: service, operator. Too many requests at
     * once: RESOURCE_EXHAUSTED with RetryInfo; unknown model or version: NOT_FOUND; a session that contradicts itself:
     * INVALID_ARGUMENT that names its field.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<sonde.inference.v1.ClassifyResponse> classify(
        sonde.inference.v1.ClassifyRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getClassifyMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * GetModel tells what is loaded. Roles: service, operator, viewer.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<sonde.inference.v1.GetModelResponse> getModel(
        sonde.inference.v1.GetModelRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getGetModelMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Explain says which parts of the head the classification rests on. Role: operator.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<sonde.inference.v1.ExplainResponse> explain(
        sonde.inference.v1.ExplainRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getExplainMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * GetDrift compares what came since the version was loaded with what it was trained on. Roles: service, operator, viewer.
     * A model without a reference: FAILED_PRECONDITION.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<sonde.inference.v1.GetDriftResponse> getDrift(
        sonde.inference.v1.GetDriftRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getGetDriftMethod(), getCallOptions()), request);
    }
  }

  private static final int METHODID_CLASSIFY = 0;
  private static final int METHODID_GET_MODEL = 1;
  private static final int METHODID_EXPLAIN = 2;
  private static final int METHODID_GET_DRIFT = 3;
  private static final int METHODID_CLASSIFY_STREAM = 4;

  private static final class MethodHandlers<Req, Resp> implements
      io.grpc.stub.ServerCalls.UnaryMethod<Req, Resp>,
      io.grpc.stub.ServerCalls.ServerStreamingMethod<Req, Resp>,
      io.grpc.stub.ServerCalls.ClientStreamingMethod<Req, Resp>,
      io.grpc.stub.ServerCalls.BidiStreamingMethod<Req, Resp> {
    private final AsyncService serviceImpl;
    private final int methodId;

    MethodHandlers(AsyncService serviceImpl, int methodId) {
      this.serviceImpl = serviceImpl;
      this.methodId = methodId;
    }

    @java.lang.Override
    @java.lang.SuppressWarnings("unchecked")
    public void invoke(Req request, io.grpc.stub.StreamObserver<Resp> responseObserver) {
      switch (methodId) {
        case METHODID_CLASSIFY:
          serviceImpl.classify((sonde.inference.v1.ClassifyRequest) request,
              (io.grpc.stub.StreamObserver<sonde.inference.v1.ClassifyResponse>) responseObserver);
          break;
        case METHODID_GET_MODEL:
          serviceImpl.getModel((sonde.inference.v1.GetModelRequest) request,
              (io.grpc.stub.StreamObserver<sonde.inference.v1.GetModelResponse>) responseObserver);
          break;
        case METHODID_EXPLAIN:
          serviceImpl.explain((sonde.inference.v1.ExplainRequest) request,
              (io.grpc.stub.StreamObserver<sonde.inference.v1.ExplainResponse>) responseObserver);
          break;
        case METHODID_GET_DRIFT:
          serviceImpl.getDrift((sonde.inference.v1.GetDriftRequest) request,
              (io.grpc.stub.StreamObserver<sonde.inference.v1.GetDriftResponse>) responseObserver);
          break;
        default:
          throw new AssertionError();
      }
    }

    @java.lang.Override
    @java.lang.SuppressWarnings("unchecked")
    public io.grpc.stub.StreamObserver<Req> invoke(
        io.grpc.stub.StreamObserver<Resp> responseObserver) {
      switch (methodId) {
        case METHODID_CLASSIFY_STREAM:
          return (io.grpc.stub.StreamObserver<Req>) serviceImpl.classifyStream(
              (io.grpc.stub.StreamObserver<sonde.inference.v1.ClassifyStreamResponse>) responseObserver);
        default:
          throw new AssertionError();
      }
    }
  }

  public static final io.grpc.ServerServiceDefinition bindService(AsyncService service) {
    return io.grpc.ServerServiceDefinition.builder(getServiceDescriptor())
        .addMethod(
          getClassifyMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              sonde.inference.v1.ClassifyRequest,
              sonde.inference.v1.ClassifyResponse>(
                service, METHODID_CLASSIFY)))
        .addMethod(
          getClassifyStreamMethod(),
          io.grpc.stub.ServerCalls.asyncBidiStreamingCall(
            new MethodHandlers<
              sonde.inference.v1.ClassifyStreamRequest,
              sonde.inference.v1.ClassifyStreamResponse>(
                service, METHODID_CLASSIFY_STREAM)))
        .addMethod(
          getGetModelMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              sonde.inference.v1.GetModelRequest,
              sonde.inference.v1.GetModelResponse>(
                service, METHODID_GET_MODEL)))
        .addMethod(
          getExplainMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              sonde.inference.v1.ExplainRequest,
              sonde.inference.v1.ExplainResponse>(
                service, METHODID_EXPLAIN)))
        .addMethod(
          getGetDriftMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              sonde.inference.v1.GetDriftRequest,
              sonde.inference.v1.GetDriftResponse>(
                service, METHODID_GET_DRIFT)))
        .build();
  }

  private static abstract class ClassifierServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoFileDescriptorSupplier, io.grpc.protobuf.ProtoServiceDescriptorSupplier {
    ClassifierServiceBaseDescriptorSupplier() {}

    @java.lang.Override
    public com.google.protobuf.Descriptors.FileDescriptor getFileDescriptor() {
      return sonde.inference.v1.InferenceProto.getDescriptor();
    }

    @java.lang.Override
    public com.google.protobuf.Descriptors.ServiceDescriptor getServiceDescriptor() {
      return getFileDescriptor().findServiceByName("ClassifierService");
    }
  }

  private static final class ClassifierServiceFileDescriptorSupplier
      extends ClassifierServiceBaseDescriptorSupplier {
    ClassifierServiceFileDescriptorSupplier() {}
  }

  private static final class ClassifierServiceMethodDescriptorSupplier
      extends ClassifierServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoMethodDescriptorSupplier {
    private final java.lang.String methodName;

    ClassifierServiceMethodDescriptorSupplier(java.lang.String methodName) {
      this.methodName = methodName;
    }

    @java.lang.Override
    public com.google.protobuf.Descriptors.MethodDescriptor getMethodDescriptor() {
      return getServiceDescriptor().findMethodByName(methodName);
    }
  }

  private static volatile io.grpc.ServiceDescriptor serviceDescriptor;

  public static io.grpc.ServiceDescriptor getServiceDescriptor() {
    io.grpc.ServiceDescriptor result = serviceDescriptor;
    if (result == null) {
      synchronized (ClassifierServiceGrpc.class) {
        result = serviceDescriptor;
        if (result == null) {
          serviceDescriptor = result = io.grpc.ServiceDescriptor.newBuilder(SERVICE_NAME)
              .setSchemaDescriptor(new ClassifierServiceFileDescriptorSupplier())
              .addMethod(getClassifyMethod())
              .addMethod(getClassifyStreamMethod())
              .addMethod(getGetModelMethod())
              .addMethod(getExplainMethod())
              .addMethod(getGetDriftMethod())
              .build();
        }
      }
    }
    return result;
  }
}
