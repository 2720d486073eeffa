import com.alipay.sofa.jraft.rpc.RpcServer;
import com.alipay.sofa.jraft.rpc.impl.GrpcRaftRpcFactory;
import com.alipay.sofa.jraft.rpc.impl.GrpcServer;
import com.alipay.sofa.jraft.util.Endpoint;
import com.alipay.sofa.jraft.util.SPI;
import io.grpc.Server;
import io.grpc.netty.shaded.io.grpc.netty.NettyServerBuilder;
import io.grpc.util.MutableHandlerRegistry;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.util.HashMap;
import java.util.Map;
import com.google.protobuf.Message;

/**
 * Raft's server on loopback: the library's own listens on every interface, and nothing sets that.
 * The priority puts it before the library's.
 */
@SPI(priority = 2)
public final class LoopbackRaft extends GrpcRaftRpcFactory {

    // The library's map of these is hidden from subclasses elsewhere; its server reads this one.
    private final Map<String, Message> parsers = new HashMap<>();

    @Override
    public void registerProtobufSerializer(String className, Object... args) {
        super.registerProtobufSerializer(className, args);
        parsers.put(className, (Message) args[0]);
    }

    @Override
    public RpcServer createRpcServer(Endpoint endpoint, ConfigHelper<RpcServer> helper) {
        MutableHandlerRegistry handlers = new MutableHandlerRegistry();
        Server server = NettyServerBuilder
                .forAddress(new InetSocketAddress(InetAddress.getLoopbackAddress(), endpoint.getPort()))
                .fallbackHandlerRegistry(handlers)
                .directExecutor()
                .build();
        RpcServer rpc = new GrpcServer(server, handlers, parsers, getMarshallerRegistry());
        if (helper != null) {
            helper.config(rpc);
        }
        return rpc;
    }
}
