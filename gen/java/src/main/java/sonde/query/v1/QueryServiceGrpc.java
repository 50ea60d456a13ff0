package sonde.query.v1;

import static io.grpc.MethodDescriptor.generateFullMethodName;

/**
 * <pre>
 * QueryService lists, tails and exports what was classified.
 * </pre>
 */
@io.grpc.stub.annotations.GrpcGenerated
public final class QueryServiceGrpc {

  private QueryServiceGrpc() {}

  public static final java.lang.String SERVICE_NAME = "sonde.query.v1.QueryService";

  // Static method descriptors that strictly reflect the proto.
  private static volatile io.grpc.MethodDescriptor<sonde.query.v1.ListResultsRequest,
      sonde.query.v1.ListResultsResponse> getListResultsMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "ListResults",
      requestType = sonde.query.v1.ListResultsRequest.class,
      responseType = sonde.query.v1.ListResultsResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<sonde.query.v1.ListResultsRequest,
      sonde.query.v1.ListResultsResponse> getListResultsMethod() {
    io.grpc.MethodDescriptor<sonde.query.v1.ListResultsRequest, sonde.query.v1.ListResultsResponse> getListResultsMethod;
    if ((getListResultsMethod = QueryServiceGrpc.getListResultsMethod) == null) {
      synchronized (QueryServiceGrpc.class) {
        if ((getListResultsMethod = QueryServiceGrpc.getListResultsMethod) == null) {
          QueryServiceGrpc.getListResultsMethod = getListResultsMethod =
              io.grpc.MethodDescriptor.<sonde.query.v1.ListResultsRequest, sonde.query.v1.ListResultsResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "ListResults"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  sonde.query.v1.ListResultsRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  sonde.query.v1.ListResultsResponse.getDefaultInstance()))
              .setSchemaDescriptor(new QueryServiceMethodDescriptorSupplier("ListResults"))
              .build();
        }
      }
    }
    return getListResultsMethod;
  }

  private static volatile io.grpc.MethodDescriptor<sonde.query.v1.GetResultRequest,
      sonde.query.v1.GetResultResponse> getGetResultMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "GetResult",
      requestType = sonde.query.v1.GetResultRequest.class,
      responseType = sonde.query.v1.GetResultResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<sonde.query.v1.GetResultRequest,
      sonde.query.v1.GetResultResponse> getGetResultMethod() {
    io.grpc.MethodDescriptor<sonde.query.v1.GetResultRequest, sonde.query.v1.GetResultResponse> getGetResultMethod;
    if ((getGetResultMethod = QueryServiceGrpc.getGetResultMethod) == null) {
      synchronized (QueryServiceGrpc.class) {
        if ((getGetResultMethod = QueryServiceGrpc.getGetResultMethod) == null) {
          QueryServiceGrpc.getGetResultMethod = getGetResultMethod =
              io.grpc.MethodDescriptor.<sonde.query.v1.GetResultRequest, sonde.query.v1.GetResultResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "GetResult"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  sonde.query.v1.GetResultRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  sonde.query.v1.GetResultResponse.getDefaultInstance()))
              .setSchemaDescriptor(new QueryServiceMethodDescriptorSupplier("GetResult"))
              .build();
        }
      }
    }
    return getGetResultMethod;
  }

  private static volatile io.grpc.MethodDescriptor<sonde.query.v1.WatchResultsRequest,
      sonde.query.v1.WatchResultsResponse> getWatchResultsMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "WatchResults",
      requestType = sonde.query.v1.WatchResultsRequest.class,
      responseType = sonde.query.v1.WatchResultsResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.SERVER_STREAMING)
  public static io.grpc.MethodDescriptor<sonde.query.v1.WatchResultsRequest,
      sonde.query.v1.WatchResultsResponse> getWatchResultsMethod() {
    io.grpc.MethodDescriptor<sonde.query.v1.WatchResultsRequest, sonde.query.v1.WatchResultsResponse> getWatchResultsMethod;
    if ((getWatchResultsMethod = QueryServiceGrpc.getWatchResultsMethod) == null) {
      synchronized (QueryServiceGrpc.class) {
        if ((getWatchResultsMethod = QueryServiceGrpc.getWatchResultsMethod) == null) {
          QueryServiceGrpc.getWatchResultsMethod = getWatchResultsMethod =
              io.grpc.MethodDescriptor.<sonde.query.v1.WatchResultsRequest, sonde.query.v1.WatchResultsResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.SERVER_STREAMING)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "WatchResults"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  sonde.query.v1.WatchResultsRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  sonde.query.v1.WatchResultsResponse.getDefaultInstance()))
              .setSchemaDescriptor(new QueryServiceMethodDescriptorSupplier("WatchResults"))
              .build();
        }
      }
    }
    return getWatchResultsMethod;
  }

  private static volatile io.grpc.MethodDescriptor<sonde.query.v1.GetSessionPacketsRequest,
      sonde.query.v1.GetSessionPacketsResponse> getGetSessionPacketsMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "GetSessionPackets",
      requestType = sonde.query.v1.GetSessionPacketsRequest.class,
      responseType = sonde.query.v1.GetSessionPacketsResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<sonde.query.v1.GetSessionPacketsRequest,
      sonde.query.v1.GetSessionPacketsResponse> getGetSessionPacketsMethod() {
    io.grpc.MethodDescriptor<sonde.query.v1.GetSessionPacketsRequest, sonde.query.v1.GetSessionPacketsResponse> getGetSessionPacketsMethod;
    if ((getGetSessionPacketsMethod = QueryServiceGrpc.getGetSessionPacketsMethod) == null) {
      synchronized (QueryServiceGrpc.class) {
        if ((getGetSessionPacketsMethod = QueryServiceGrpc.getGetSessionPacketsMethod) == null) {
          QueryServiceGrpc.getGetSessionPacketsMethod = getGetSessionPacketsMethod =
              io.grpc.MethodDescriptor.<sonde.query.v1.GetSessionPacketsRequest, sonde.query.v1.GetSessionPacketsResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "GetSessionPackets"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  sonde.query.v1.GetSessionPacketsRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  sonde.query.v1.GetSessionPacketsResponse.getDefaultInstance()))
              .setSchemaDescriptor(new QueryServiceMethodDescriptorSupplier("GetSessionPackets"))
              .build();
        }
      }
    }
    return getGetSessionPacketsMethod;
  }

  private static volatile io.grpc.MethodDescriptor<sonde.query.v1.LabelSessionRequest,
      sonde.query.v1.LabelSessionResponse> getLabelSessionMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "LabelSession",
      requestType = sonde.query.v1.LabelSessionRequest.class,
      responseType = sonde.query.v1.LabelSessionResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<sonde.query.v1.LabelSessionRequest,
      sonde.query.v1.LabelSessionResponse> getLabelSessionMethod() {
    io.grpc.MethodDescriptor<sonde.query.v1.LabelSessionRequest, sonde.query.v1.LabelSessionResponse> getLabelSessionMethod;
    if ((getLabelSessionMethod = QueryServiceGrpc.getLabelSessionMethod) == null) {
      synchronized (QueryServiceGrpc.class) {
        if ((getLabelSessionMethod = QueryServiceGrpc.getLabelSessionMethod) == null) {
          QueryServiceGrpc.getLabelSessionMethod = getLabelSessionMethod =
              io.grpc.MethodDescriptor.<sonde.query.v1.LabelSessionRequest, sonde.query.v1.LabelSessionResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "LabelSession"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  sonde.query.v1.LabelSessionRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  sonde.query.v1.LabelSessionResponse.getDefaultInstance()))
              .setSchemaDescriptor(new QueryServiceMethodDescriptorSupplier("LabelSession"))
              .build();
        }
      }
    }
    return getLabelSessionMethod;
  }

  private static volatile io.grpc.MethodDescriptor<sonde.query.v1.ListCorrectionsRequest,
      sonde.query.v1.ListCorrectionsResponse> getListCorrectionsMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "ListCorrections",
      requestType = sonde.query.v1.ListCorrectionsRequest.class,
      responseType = sonde.query.v1.ListCorrectionsResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<sonde.query.v1.ListCorrectionsRequest,
      sonde.query.v1.ListCorrectionsResponse> getListCorrectionsMethod() {
    io.grpc.MethodDescriptor<sonde.query.v1.ListCorrectionsRequest, sonde.query.v1.ListCorrectionsResponse> getListCorrectionsMethod;
    if ((getListCorrectionsMethod = QueryServiceGrpc.getListCorrectionsMethod) == null) {
      synchronized (QueryServiceGrpc.class) {
        if ((getListCorrectionsMethod = QueryServiceGrpc.getListCorrectionsMethod) == null) {
          QueryServiceGrpc.getListCorrectionsMethod = getListCorrectionsMethod =
              io.grpc.MethodDescriptor.<sonde.query.v1.ListCorrectionsRequest, sonde.query.v1.ListCorrectionsResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "ListCorrections"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  sonde.query.v1.ListCorrectionsRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  sonde.query.v1.ListCorrectionsResponse.getDefaultInstance()))
              .setSchemaDescriptor(new QueryServiceMethodDescriptorSupplier("ListCorrections"))
              .build();
        }
      }
    }
    return getListCorrectionsMethod;
  }

  /**
   * Creates a new async stub that supports all call types for the service
   */
  public static QueryServiceStub newStub(io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<QueryServiceStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<QueryServiceStub>() {
        @java.lang.Override
        public QueryServiceStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new QueryServiceStub(channel, callOptions);
        }
      };
    return QueryServiceStub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports all types of calls on the service
   */
  public static QueryServiceBlockingV2Stub newBlockingV2Stub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<QueryServiceBlockingV2Stub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<QueryServiceBlockingV2Stub>() {
        @java.lang.Override
        public QueryServiceBlockingV2Stub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new QueryServiceBlockingV2Stub(channel, callOptions);
        }
      };
    return QueryServiceBlockingV2Stub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports unary and streaming output calls on the service
   */
  public static QueryServiceBlockingStub newBlockingStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<QueryServiceBlockingStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<QueryServiceBlockingStub>() {
        @java.lang.Override
        public QueryServiceBlockingStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new QueryServiceBlockingStub(channel, callOptions);
        }
      };
    return QueryServiceBlockingStub.newStub(factory, channel);
  }

  /**
   * Creates a new ListenableFuture-style stub that supports unary calls on the service
   */
  public static QueryServiceFutureStub newFutureStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<QueryServiceFutureStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<QueryServiceFutureStub>() {
        @java.lang.Override
        public QueryServiceFutureStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new QueryServiceFutureStub(channel, callOptions);
        }
      };
    return QueryServiceFutureStub.newStub(factory, channel);
  }

  /**
   * <pre>
   * QueryService lists, tails and exports what was classified.
   * </pre>
   */
  public interface AsyncService {

    /**
     * <pre>
     * ListResults pages through results, newest session first. Roles: service, operator, viewer. A filter that cannot be
     * read is INVALID_ARGUMENT with the position.
     * </pre>
     */
    default void listResults(sonde.query.v1.ListResultsRequest request,
        io.grpc.stub.StreamObserver<sonde.query.v1.ListResultsResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getListResultsMethod(), responseObserver);
    }

    /**
     * <pre>
     * GetResult returns one result. Roles: service, operator, viewer. NOT_FOUND when there is none.
     * </pre>
     */
    default void getResult(sonde.query.v1.GetResultRequest request,
        io.grpc.stub.StreamObserver<sonde.query.v1.GetResultResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getGetResultMethod(), responseObserver);
    }

    /**
     * <pre>
     * WatchResults sends results as they are stored, from now on, until the caller ends the call. The same session comes
     * again when its classification or counts change. A reader too slow for the traffic is told how many it missed.
     * Roles: service, operator, viewer.
     * </pre>
     */
    default void watchResults(sonde.query.v1.WatchResultsRequest request,
        io.grpc.stub.StreamObserver<sonde.query.v1.WatchResultsResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getWatchResultsMethod(), responseObserver);
    }

    /**
     * <pre>
     * GetSessionPackets returns the head of one session as a pcapng file. Role: operator. NOT_FOUND when none is kept.
     * </pre>
     */
    default void getSessionPackets(sonde.query.v1.GetSessionPacketsRequest request,
        io.grpc.stub.StreamObserver<sonde.query.v1.GetSessionPacketsResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getGetSessionPacketsMethod(), responseObserver);
    }

    /**
     * <pre>
     * LabelSession stores what a session really was, with the anonymous head that a model learns from; the label before is
     * replaced. Role: operator. NOT_FOUND when there is neither such a result nor a label of it; FAILED_PRECONDITION when its
     * head is not kept any more, or when as many labels are stored as there is room for; INVALID_ARGUMENT when the label is
     * not of letters, digits and hyphens, at most 64.
     * </pre>
     */
    default void labelSession(sonde.query.v1.LabelSessionRequest request,
        io.grpc.stub.StreamObserver<sonde.query.v1.LabelSessionResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getLabelSessionMethod(), responseObserver);
    }

    /**
     * <pre>
     * ListCorrections pages through labels that were stored, oldest first. Role: operator.
     * </pre>
     */
    default void listCorrections(sonde.query.v1.ListCorrectionsRequest request,
        io.grpc.stub.StreamObserver<sonde.query.v1.ListCorrectionsResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getListCorrectionsMethod(), responseObserver);
    }
  }

  /**
   * Base class for the server implementation of the service QueryService.
   * <pre>
   * QueryService lists, tails and exports what was classified.
   * </pre>
   */
  public static abstract class QueryServiceImplBase
      implements io.grpc.BindableService, AsyncService {

    @java.lang.Override public final io.grpc.ServerServiceDefinition bindService() {
      return QueryServiceGrpc.bindService(this);
    }
  }

  /**
   * A stub to allow clients to do asynchronous rpc calls to service QueryService.
   * <pre>
   * QueryService lists, tails and exports what was classified.
   * </pre>
   */
  public static final class QueryServiceStub
      extends io.grpc.stub.AbstractAsyncStub<QueryServiceStub> {
    private QueryServiceStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected QueryServiceStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new QueryServiceStub(channel, callOptions);
    }

    /**
     * <pre>
     * ListResults pages through results, newest session first. Roles: service, operator, viewer. A filter that cannot be
     * read is INVALID_ARGUMENT with the position.
     * </pre>
     */
    public void listResults(sonde.query.v1.ListResultsRequest request,
        io.grpc.stub.StreamObserver<sonde.query.v1.ListResultsResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getListResultsMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * GetResult returns one result. Roles: service, operator, viewer. NOT_FOUND when there is none.
     * </pre>
     */
    public void getResult(sonde.query.v1.GetResultRequest request,
        io.grpc.stub.StreamObserver<sonde.query.v1.GetResultResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getGetResultMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * WatchResults sends results as they are stored, from now on, until the caller ends the call. The same session comes
     * again when its classification or counts change. A reader too slow for the traffic is told how many it missed.
     * Roles: service, operator, viewer.
     * </pre>
     */
    public void watchResults(sonde.query.v1.WatchResultsRequest request,
        io.grpc.stub.StreamObserver<sonde.query.v1.WatchResultsResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncServerStreamingCall(
          getChannel().newCall(getWatchResultsMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * GetSessionPackets returns the head of one session as a pcapng file. Role: operator. NOT_FOUND when none is kept.
     * </pre>
     */
    public void getSessionPackets(sonde.query.v1.GetSessionPacketsRequest request,
        io.grpc.stub.StreamObserver<sonde.query.v1.GetSessionPacketsResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getGetSessionPacketsMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * LabelSession stores what a session really was, with the anonymous head that a model learns from; the label before is
     * replaced. Role: operator. NOT_FOUND when there is neither such a result nor a label of it; FAILED_PRECONDITION when its
     * head is not kept any more, or when as many labels are stored as there is room for; INVALID_ARGUMENT when the label is
     * not of letters, digits and hyphens, at most 64.
     * </pre>
     */
    public void labelSession(sonde.query.v1.LabelSessionRequest request,
        io.grpc.stub.StreamObserver<sonde.query.v1.LabelSessionResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getLabelSessionMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * ListCorrections pages through labels that were stored, oldest first. Role: operator.
     * </pre>
     */
    public void listCorrections(sonde.query.v1.ListCorrectionsRequest request,
        io.grpc.stub.StreamObserver<sonde.query.v1.ListCorrectionsResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getListCorrectionsMethod(), getCallOptions()), request, responseObserver);
    }
  }

  /**
   * A stub to allow clients to do synchronous rpc calls to service QueryService.
   * <pre>
   * QueryService lists, tails and exports what was classified.
   * </pre>
   */
  public static final class QueryServiceBlockingV2Stub
      extends io.grpc.stub.AbstractBlockingStub<QueryServiceBlockingV2Stub> {
    private QueryServiceBlockingV2Stub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected QueryServiceBlockingV2Stub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new QueryServiceBlockingV2Stub(channel, callOptions);
    }

    /**
     * <pre>
     * ListResults pages through results, newest session first. Roles: service, operator, viewer. A filter that cannot be
     * read is INVALID_ARGUMENT with the position.
     * </pre>
     */
    public sonde.query.v1.ListResultsResponse listResults(sonde.query.v1.ListResultsRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getListResultsMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * GetResult returns one result. Roles: service, operator, viewer. NOT_FOUND when there is none.
     * </pre>
     */
    public sonde.query.v1.GetResultResponse getResult(sonde.query.v1.GetResultRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getGetResultMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * WatchResults sends results as they are stored, from now on, until the caller ends the call. The same session comes
     * again when its classification or counts change. A reader too slow for the traffic is told how many it missed.
     * Roles: service, operator, viewer.
     * </pre>
     */
    @io.grpc.ExperimentalApi("https://github.com/grpc/grpc-java/issues/10918")
    public io.grpc.stub.BlockingClientCall<?, sonde.query.v1.WatchResultsResponse>
        watchResults(sonde.query.v1.WatchResultsRequest request) {
      return io.grpc.stub.ClientCalls.blockingV2ServerStreamingCall(
          getChannel(), getWatchResultsMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * GetSessionPackets returns the head of one session as a pcapng file. Role: operator. NOT_FOUND when none is kept.
     * </pre>
     */
    public sonde.query.v1.GetSessionPacketsResponse getSessionPackets(sonde.query.v1.GetSessionPacketsRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getGetSessionPacketsMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * LabelSession stores what a session really was, with the anonymous head that a model learns from; the label before is
     * replaced. Role: operator. NOT_FOUND when there is neither such a result nor a label of it; FAILED_PRECONDITION when its
     * head is not kept any more, or when as many labels are stored as there is room for; INVALID_ARGUMENT when the label is
     * not of letters, digits and hyphens, at most 64.
     * </pre>
     */
    public sonde.query.v1.LabelSessionResponse labelSession(sonde.query.v1.LabelSessionRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getLabelSessionMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * ListCorrections pages through labels that were stored, oldest first. Role: operator.
     * </pre>
     */
    public sonde.query.v1.ListCorrectionsResponse listCorrections(sonde.query.v1.ListCorrectionsRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getListCorrectionsMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do limited synchronous rpc calls to service QueryService.
   * <pre>
   * QueryService lists, tails and exports what was classified.
   * </pre>
   */
  public static final class QueryServiceBlockingStub
      extends io.grpc.stub.AbstractBlockingStub<QueryServiceBlockingStub> {
    private QueryServiceBlockingStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected QueryServiceBlockingStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new QueryServiceBlockingStub(channel, callOptions);
    }

    /**
     * <pre>
     * ListResults pages through results, newest session first. Roles: service, operator, viewer. A filter that cannot be
     * read is INVALID_ARGUMENT with the position.
     * </pre>
     */
    public sonde.query.v1.ListResultsResponse listResults(sonde.query.v1.ListResultsRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getListResultsMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * GetResult returns one result. Roles: service, operator, viewer. NOT_FOUND when there is none.
     * </pre>
     */
    public sonde.query.v1.GetResultResponse getResult(sonde.query.v1.GetResultRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getGetResultMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * WatchResults sends results as they are stored, from now on, until the caller ends the call. The same session comes
     * again when its classification or counts change. A reader too slow for the traffic is told how many it missed.
     * Roles: service, operator, viewer.
     * </pre>
     */
    public java.util.Iterator<sonde.query.v1.WatchResultsResponse> watchResults(
        sonde.query.v1.WatchResultsRequest request) {
      return io.grpc.stub.ClientCalls.blockingServerStreamingCall(
          getChannel(), getWatchResultsMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * GetSessionPackets returns the head of one session as a pcapng file. Role: operator. NOT_FOUND when none is kept.
     * </pre>
     */
    public sonde.query.v1.GetSessionPacketsResponse getSessionPackets(sonde.query.v1.GetSessionPacketsRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getGetSessionPacketsMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * LabelSession stores what a session really was, with the anonymous head that a model learns from; the label before is
     * replaced. Role: operator. NOT_FOUND when there is neither such a result nor a label of it; FAILED_PRECONDITION when its
     * head is not kept any more, or when as many labels are stored as there is room for; INVALID_ARGUMENT when the label is
     * not of letters, digits and hyphens, at most 64.
     * </pre>
     */
    public sonde.query.v1.LabelSessionResponse labelSession(sonde.query.v1.LabelSessionRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getLabelSessionMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * ListCorrections pages through labels that were stored, oldest first. Role: operator.
     * </pre>
     */
    public sonde.query.v1.ListCorrectionsResponse listCorrections(sonde.query.v1.ListCorrectionsRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getListCorrectionsMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do ListenableFuture-style rpc calls to service QueryService.
   * <pre>
   * QueryService lists, tails and exports what was classified.
   * </pre>
   */
  public static final class QueryServiceFutureStub
      extends io.grpc.stub.AbstractFutureStub<QueryServiceFutureStub> {
    private QueryServiceFutureStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected QueryServiceFutureStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new QueryServiceFutureStub(channel, callOptions);
    }

    /**
     * <pre>
     * ListResults pages through results, newest session first. Roles: service, operator, viewer. A filter that cannot be
     * read is INVALID_ARGUMENT with the position.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<sonde.query.v1.ListResultsResponse> listResults(
        sonde.query.v1.ListResultsRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getListResultsMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * GetResult returns one result. Roles: service, operator, viewer. NOT_FOUND when there is none.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<sonde.query.v1.GetResultResponse> getResult(
        sonde.query.v1.GetResultRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getGetResultMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * GetSessionPackets returns the head of one session as a pcapng file. Role: operator. NOT_FOUND when none is kept.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<sonde.query.v1.GetSessionPacketsResponse> getSessionPackets(
        sonde.query.v1.GetSessionPacketsRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getGetSessionPacketsMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * LabelSession stores what a session really was, with the anonymous head that a model learns from; the label before is
     * replaced. Role: operator. NOT_FOUND when there is neither such a result nor a label of it; FAILED_PRECONDITION when its
     * head is not kept any more, or when as many labels are stored as there is room for; INVALID_ARGUMENT when the label is
     * not of letters, digits and hyphens, at most 64.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<sonde.query.v1.LabelSessionResponse> labelSession(
        sonde.query.v1.LabelSessionRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getLabelSessionMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * ListCorrections pages through labels that were stored, oldest first. Role: operator.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<sonde.query.v1.ListCorrectionsResponse> listCorrections(
        sonde.query.v1.ListCorrectionsRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getListCorrectionsMethod(), getCallOptions()), request);
    }
  }

  private static final int METHODID_LIST_RESULTS = 0;
  private static final int METHODID_GET_RESULT = 1;
  private static final int METHODID_WATCH_RESULTS = 2;
  private static final int METHODID_GET_SESSION_PACKETS = 3;
  private static final int METHODID_LABEL_SESSION = 4;
  private static final int METHODID_LIST_CORRECTIONS = 5;

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
        case METHODID_LIST_RESULTS:
          serviceImpl.listResults((sonde.query.v1.ListResultsRequest) request,
              (io.grpc.stub.StreamObserver<sonde.query.v1.ListResultsResponse>) responseObserver);
          break;
        case METHODID_GET_RESULT:
          serviceImpl.getResult((sonde.query.v1.GetResultRequest) request,
              (io.grpc.stub.StreamObserver<sonde.query.v1.GetResultResponse>) responseObserver);
          break;
        case METHODID_WATCH_RESULTS:
          serviceImpl.watchResults((sonde.query.v1.WatchResultsRequest) request,
              (io.grpc.stub.StreamObserver<sonde.query.v1.WatchResultsResponse>) responseObserver);
          break;
        case METHODID_GET_SESSION_PACKETS:
          serviceImpl.getSessionPackets((sonde.query.v1.GetSessionPacketsRequest) request,
              (io.grpc.stub.StreamObserver<sonde.query.v1.GetSessionPacketsResponse>) responseObserver);
          break;
        case METHODID_LABEL_SESSION:
          serviceImpl.labelSession((sonde.query.v1.LabelSessionRequest) request,
              (io.grpc.stub.StreamObserver<sonde.query.v1.LabelSessionResponse>) responseObserver);
          break;
        case METHODID_LIST_CORRECTIONS:
          serviceImpl.listCorrections((sonde.query.v1.ListCorrectionsRequest) request,
              (io.grpc.stub.StreamObserver<sonde.query.v1.ListCorrectionsResponse>) responseObserver);
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
        default:
          throw new AssertionError();
      }
    }
  }

  public static final io.grpc.ServerServiceDefinition bindService(AsyncService service) {
    return io.grpc.ServerServiceDefinition.builder(getServiceDescriptor())
        .addMethod(
          getListResultsMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              sonde.query.v1.ListResultsRequest,
              sonde.query.v1.ListResultsResponse>(
                service, METHODID_LIST_RESULTS)))
        .addMethod(
          getGetResultMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              sonde.query.v1.GetResultRequest,
              sonde.query.v1.GetResultResponse>(
                service, METHODID_GET_RESULT)))
        .addMethod(
          getWatchResultsMethod(),
          io.grpc.stub.ServerCalls.asyncServerStreamingCall(
            new MethodHandlers<
              sonde.query.v1.WatchResultsRequest,
              sonde.query.v1.WatchResultsResponse>(
                service, METHODID_WATCH_RESULTS)))
        .addMethod(
          getGetSessionPacketsMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              sonde.query.v1.GetSessionPacketsRequest,
              sonde.query.v1.GetSessionPacketsResponse>(
                service, METHODID_GET_SESSION_PACKETS)))
        .addMethod(
          getLabelSessionMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              sonde.query.v1.LabelSessionRequest,
              sonde.query.v1.LabelSessionResponse>(
                service, METHODID_LABEL_SESSION)))
        .addMethod(
          getListCorrectionsMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              sonde.query.v1.ListCorrectionsRequest,
              sonde.query.v1.ListCorrectionsResponse>(
                service, METHODID_LIST_CORRECTIONS)))
        .build();
  }

  private static abstract class QueryServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoFileDescriptorSupplier, io.grpc.protobuf.ProtoServiceDescriptorSupplier {
    QueryServiceBaseDescriptorSupplier() {}

    @java.lang.Override
    public com.google.protobuf.Descriptors.FileDescriptor getFileDescriptor() {
      return sonde.query.v1.QueryProto.getDescriptor();
    }

    @java.lang.Override
    public com.google.protobuf.Descriptors.ServiceDescriptor getServiceDescriptor() {
      return getFileDescriptor().findServiceByName("QueryService");
    }
  }

  private static final class QueryServiceFileDescriptorSupplier
      extends QueryServiceBaseDescriptorSupplier {
    QueryServiceFileDescriptorSupplier() {}
  }

  private static final class QueryServiceMethodDescriptorSupplier
      extends QueryServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoMethodDescriptorSupplier {
    private final java.lang.String methodName;

    QueryServiceMethodDescriptorSupplier(java.lang.String methodName) {
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
      synchronized (QueryServiceGrpc.class) {
        result = serviceDescriptor;
        if (result == null) {
          serviceDescriptor = result = io.grpc.ServiceDescriptor.newBuilder(SERVICE_NAME)
              .setSchemaDescriptor(new QueryServiceFileDescriptorSupplier())
              .addMethod(getListResultsMethod())
              .addMethod(getGetResultMethod())
              .addMethod(getWatchResultsMethod())
              .addMethod(getGetSessionPacketsMethod())
              .addMethod(getLabelSessionMethod())
              .addMethod(getListCorrectionsMethod())
              .build();
        }
      }
    }
    return result;
  }
}
