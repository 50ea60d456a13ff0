package sonde.fleet.v1;

import static io.grpc.MethodDescriptor.generateFullMethodName;

/**
 * <pre>
 * FleetService shows the agents and the ledger. Roles: service, operator, viewer.
 * </pre>
 */
@io.grpc.stub.annotations.GrpcGenerated
public final class FleetServiceGrpc {

  private FleetServiceGrpc() {}

  public static final java.lang.String SERVICE_NAME = "sonde.fleet.v1.FleetService";

  // Static method descriptors that strictly reflect the proto.
  private static volatile io.grpc.MethodDescriptor<sonde.fleet.v1.ListAgentsRequest,
      sonde.fleet.v1.ListAgentsResponse> getListAgentsMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "ListAgents",
      requestType = sonde.fleet.v1.ListAgentsRequest.class,
      responseType = sonde.fleet.v1.ListAgentsResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<sonde.fleet.v1.ListAgentsRequest,
      sonde.fleet.v1.ListAgentsResponse> getListAgentsMethod() {
    io.grpc.MethodDescriptor<sonde.fleet.v1.ListAgentsRequest, sonde.fleet.v1.ListAgentsResponse> getListAgentsMethod;
    if ((getListAgentsMethod = FleetServiceGrpc.getListAgentsMethod) == null) {
      synchronized (FleetServiceGrpc.class) {
        if ((getListAgentsMethod = FleetServiceGrpc.getListAgentsMethod) == null) {
          FleetServiceGrpc.getListAgentsMethod = getListAgentsMethod =
              io.grpc.MethodDescriptor.<sonde.fleet.v1.ListAgentsRequest, sonde.fleet.v1.ListAgentsResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "ListAgents"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  sonde.fleet.v1.ListAgentsRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  sonde.fleet.v1.ListAgentsResponse.getDefaultInstance()))
              .setSchemaDescriptor(new FleetServiceMethodDescriptorSupplier("ListAgents"))
              .build();
        }
      }
    }
    return getListAgentsMethod;
  }

  private static volatile io.grpc.MethodDescriptor<sonde.fleet.v1.GetLedgerRequest,
      sonde.fleet.v1.GetLedgerResponse> getGetLedgerMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "GetLedger",
      requestType = sonde.fleet.v1.GetLedgerRequest.class,
      responseType = sonde.fleet.v1.GetLedgerResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<sonde.fleet.v1.GetLedgerRequest,
      sonde.fleet.v1.GetLedgerResponse> getGetLedgerMethod() {
    io.grpc.MethodDescriptor<sonde.fleet.v1.GetLedgerRequest, sonde.fleet.v1.GetLedgerResponse> getGetLedgerMethod;
    if ((getGetLedgerMethod = FleetServiceGrpc.getGetLedgerMethod) == null) {
      synchronized (FleetServiceGrpc.class) {
        if ((getGetLedgerMethod = FleetServiceGrpc.getGetLedgerMethod) == null) {
          FleetServiceGrpc.getGetLedgerMethod = getGetLedgerMethod =
              io.grpc.MethodDescriptor.<sonde.fleet.v1.GetLedgerRequest, sonde.fleet.v1.GetLedgerResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "GetLedger"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  sonde.fleet.v1.GetLedgerRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  sonde.fleet.v1.GetLedgerResponse.getDefaultInstance()))
              .setSchemaDescriptor(new FleetServiceMethodDescriptorSupplier("GetLedger"))
              .build();
        }
      }
    }
    return getGetLedgerMethod;
  }

  /**
   * Creates a new async stub that supports all call types for the service
   */
  public static FleetServiceStub newStub(io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<FleetServiceStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<FleetServiceStub>() {
        @java.lang.Override
        public FleetServiceStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new FleetServiceStub(channel, callOptions);
        }
      };
    return FleetServiceStub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports all types of calls on the service
   */
  public static FleetServiceBlockingV2Stub newBlockingV2Stub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<FleetServiceBlockingV2Stub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<FleetServiceBlockingV2Stub>() {
        @java.lang.Override
        public FleetServiceBlockingV2Stub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new FleetServiceBlockingV2Stub(channel, callOptions);
        }
      };
    return FleetServiceBlockingV2Stub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports unary and streaming output calls on the service
   */
  public static FleetServiceBlockingStub newBlockingStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<FleetServiceBlockingStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<FleetServiceBlockingStub>() {
        @java.lang.Override
        public FleetServiceBlockingStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new FleetServiceBlockingStub(channel, callOptions);
        }
      };
    return FleetServiceBlockingStub.newStub(factory, channel);
  }

  /**
   * Creates a new ListenableFuture-style stub that supports unary calls on the service
   */
  public static FleetServiceFutureStub newFutureStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<FleetServiceFutureStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<FleetServiceFutureStub>() {
        @java.lang.Override
        public FleetServiceFutureStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new FleetServiceFutureStub(channel, callOptions);
        }
      };
    return FleetServiceFutureStub.newStub(factory, channel);
  }

  /**
   * <pre>
   * FleetService shows the agents and the ledger. Roles: service, operator, viewer.
   * </pre>
   */
  public interface AsyncService {

    /**
     * <pre>
     * ListAgents returns every agent that this collector knows, by name.
     * </pre>
     */
    default void listAgents(sonde.fleet.v1.ListAgentsRequest request,
        io.grpc.stub.StreamObserver<sonde.fleet.v1.ListAgentsResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getListAgentsMethod(), responseObserver);
    }

    /**
     * <pre>
     * GetLedger returns the conservation law's terms, one entry a lane, and their sum.
     * </pre>
     */
    default void getLedger(sonde.fleet.v1.GetLedgerRequest request,
        io.grpc.stub.StreamObserver<sonde.fleet.v1.GetLedgerResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getGetLedgerMethod(), responseObserver);
    }
  }

  /**
   * Base class for the server implementation of the service FleetService.
   * <pre>
   * FleetService shows the agents and the ledger. Roles: service, operator, viewer.
   * </pre>
   */
  public static abstract class FleetServiceImplBase
      implements io.grpc.BindableService, AsyncService {

    @java.lang.Override public final io.grpc.ServerServiceDefinition bindService() {
      return FleetServiceGrpc.bindService(this);
    }
  }

  /**
   * A stub to allow clients to do asynchronous rpc calls to service FleetService.
   * <pre>
   * FleetService shows the agents and the ledger. Roles: service, operator, viewer.
   * </pre>
   */
  public static final class FleetServiceStub
      extends io.grpc.stub.AbstractAsyncStub<FleetServiceStub> {
    private FleetServiceStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected FleetServiceStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new FleetServiceStub(channel, callOptions);
    }

    /**
     * <pre>
     * ListAgents returns every agent that this collector knows, by name.
     * </pre>
     */
    public void listAgents(sonde.fleet.v1.ListAgentsRequest request,
        io.grpc.stub.StreamObserver<sonde.fleet.v1.ListAgentsResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getListAgentsMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * GetLedger returns the conservation law's terms, one entry a lane, and their sum.
     * </pre>
     */
    public void getLedger(sonde.fleet.v1.GetLedgerRequest request,
        io.grpc.stub.StreamObserver<sonde.fleet.v1.GetLedgerResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getGetLedgerMethod(), getCallOptions()), request, responseObserver);
    }
  }

  /**
   * A stub to allow clients to do synchronous rpc calls to service FleetService.
   * <pre>
   * FleetService shows the agents and the ledger. Roles: service, operator, viewer.
   * </pre>
   */
  public static final class FleetServiceBlockingV2Stub
      extends io.grpc.stub.AbstractBlockingStub<FleetServiceBlockingV2Stub> {
    private FleetServiceBlockingV2Stub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected FleetServiceBlockingV2Stub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new FleetServiceBlockingV2Stub(channel, callOptions);
    }

    /**
     * <pre>
     * ListAgents returns every agent that this collector knows, by name.
     * </pre>
     */
    public sonde.fleet.v1.ListAgentsResponse listAgents(sonde.fleet.v1.ListAgentsRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getListAgentsMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * GetLedger returns the conservation law's terms, one entry a lane, and their sum.
     * </pre>
     */
    public sonde.fleet.v1.GetLedgerResponse getLedger(sonde.fleet.v1.GetLedgerRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getGetLedgerMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do limited synchronous rpc calls to service FleetService.
   * <pre>
   * FleetService shows the agents and the ledger. Roles: service, operator, viewer.
   * </pre>
   */
  public static final class FleetServiceBlockingStub
      extends io.grpc.stub.AbstractBlockingStub<FleetServiceBlockingStub> {
    private FleetServiceBlockingStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected FleetServiceBlockingStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new FleetServiceBlockingStub(channel, callOptions);
    }

    /**
     * <pre>
     * ListAgents returns every agent that this collector knows, by name.
     * </pre>
     */
    public sonde.fleet.v1.ListAgentsResponse listAgents(sonde.fleet.v1.ListAgentsRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getListAgentsMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * GetLedger returns the conservation law's terms, one entry a lane, and their sum.
     * </pre>
     */
    public sonde.fleet.v1.GetLedgerResponse getLedger(sonde.fleet.v1.GetLedgerRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getGetLedgerMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do ListenableFuture-style rpc calls to service FleetService.
   * <pre>
   * FleetService shows the agents and the ledger. Roles: service, operator, viewer.
   * </pre>
   */
  public static final class FleetServiceFutureStub
      extends io.grpc.stub.AbstractFutureStub<FleetServiceFutureStub> {
    private FleetServiceFutureStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected FleetServiceFutureStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new FleetServiceFutureStub(channel, callOptions);
    }

    /**
     * <pre>
     * ListAgents returns every agent that this collector knows, by name.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<sonde.fleet.v1.ListAgentsResponse> listAgents(
        sonde.fleet.v1.ListAgentsRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getListAgentsMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * GetLedger returns the conservation law's terms, one entry a lane, and their sum.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<sonde.fleet.v1.GetLedgerResponse> getLedger(
        sonde.fleet.v1.GetLedgerRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getGetLedgerMethod(), getCallOptions()), request);
    }
  }

  private static final int METHODID_LIST_AGENTS = 0;
  private static final int METHODID_GET_LEDGER = 1;

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
        case METHODID_LIST_AGENTS:
          serviceImpl.listAgents((sonde.fleet.v1.ListAgentsRequest) request,
              (io.grpc.stub.StreamObserver<sonde.fleet.v1.ListAgentsResponse>) responseObserver);
          break;
        case METHODID_GET_LEDGER:
          serviceImpl.getLedger((sonde.fleet.v1.GetLedgerRequest) request,
              (io.grpc.stub.StreamObserver<sonde.fleet.v1.GetLedgerResponse>) responseObserver);
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
          getListAgentsMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              sonde.fleet.v1.ListAgentsRequest,
              sonde.fleet.v1.ListAgentsResponse>(
                service, METHODID_LIST_AGENTS)))
        .addMethod(
          getGetLedgerMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              sonde.fleet.v1.GetLedgerRequest,
              sonde.fleet.v1.GetLedgerResponse>(
                service, METHODID_GET_LEDGER)))
        .build();
  }

  private static abstract class FleetServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoFileDescriptorSupplier, io.grpc.protobuf.ProtoServiceDescriptorSupplier {
    FleetServiceBaseDescriptorSupplier() {}

    @java.lang.Override
    public com.google.protobuf.Descriptors.FileDescriptor getFileDescriptor() {
      return sonde.fleet.v1.FleetProto.getDescriptor();
    }

    @java.lang.Override
    public com.google.protobuf.Descriptors.ServiceDescriptor getServiceDescriptor() {
      return getFileDescriptor().findServiceByName("FleetService");
    }
  }

  private static final class FleetServiceFileDescriptorSupplier
      extends FleetServiceBaseDescriptorSupplier {
    FleetServiceFileDescriptorSupplier() {}
  }

  private static final class FleetServiceMethodDescriptorSupplier
      extends FleetServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoMethodDescriptorSupplier {
    private final java.lang.String methodName;

    FleetServiceMethodDescriptorSupplier(java.lang.String methodName) {
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
      synchronized (FleetServiceGrpc.class) {
        result = serviceDescriptor;
        if (result == null) {
          serviceDescriptor = result = io.grpc.ServiceDescriptor.newBuilder(SERVICE_NAME)
              .setSchemaDescriptor(new FleetServiceFileDescriptorSupplier())
              .addMethod(getListAgentsMethod())
              .addMethod(getGetLedgerMethod())
              .build();
        }
      }
    }
    return result;
  }
}
