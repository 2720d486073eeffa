import com.alibaba.nacos.NacosServerBasicApplication;
import com.alibaba.nacos.NacosServerWebApplication;
import com.alibaba.nacos.console.NacosConsole;
import com.alibaba.nacos.core.listener.startup.NacosStartUp;
import com.alibaba.nacos.core.listener.startup.NacosStartUpManager;
import com.alibaba.nacos.sys.env.Constants;
import com.alibaba.nacos.sys.env.DeploymentType;
import com.alibaba.nacos.sys.env.EnvUtil;
import com.alipay.sofa.jraft.storage.impl.RocksDBLogStorage;
import com.alipay.sofa.jraft.util.StorageOptionsFactory;
import org.springframework.boot.Banner;
import org.springframework.boot.WebApplicationType;
import org.springframework.boot.builder.SpringApplicationBuilder;
import org.springframework.context.ConfigurableApplicationContext;

/**
 * Starts a Nacos server from the modules in Maven Central, where Nacos' own bootstrap is not: the
 * core, then the HTTP interface, and with -Dnacos.deployment.type=merged the console; the other type
 * is server.
 */
public final class SeckillNacos {

    private SeckillNacos() {}

    public static void main(String[] args) {
        try {
            start(args);
        } catch (RuntimeException e) {
            // What runs already has threads that would keep the process.
            e.printStackTrace();
            System.exit(1);
        }
    }

    private static void start(String[] args) {
        // Parts of Nacos read the property again, without a default.
        DeploymentType type = DeploymentType.getType(System.getProperty(Constants.NACOS_DEPLOYMENT_TYPE));
        EnvUtil.setDeploymentType(type);

        // Each of the five raft groups sets aside on disk what its buffer could need: 145 MB by default.
        StorageOptionsFactory.registerRocksDBColumnFamilyOptions(RocksDBLogStorage.class,
                StorageOptionsFactory.getDefaultRocksDBColumnFamilyOptions().setWriteBufferSize(2 << 20));

        // Nacos keeps the phase in a static field, which its listeners read while a context starts.
        NacosStartUpManager.start(NacosStartUp.CORE_START_UP_PHASE);
        ConfigurableApplicationContext core = new SpringApplicationBuilder(NacosServerBasicApplication.class)
                .web(WebApplicationType.NONE).bannerMode(Banner.Mode.OFF).run(args);

        NacosStartUpManager.start(NacosStartUp.WEB_START_UP_PHASE);
        run(NacosServerWebApplication.class, core, args);

        if (type == DeploymentType.MERGED) {
            NacosStartUpManager.start(NacosStartUp.CONSOLE_START_UP_PHASE);
            run(NacosConsole.class, core, args);
        }
    }

    private static void run(Class<?> application, ConfigurableApplicationContext parent, String[] args) {
        new SpringApplicationBuilder(application).parent(parent).bannerMode(Banner.Mode.OFF).run(args);
    }
}
