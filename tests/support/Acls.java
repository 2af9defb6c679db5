import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.common.acl.*;
import org.apache.kafka.common.resource.*;

/** Gives a user rights: BROKERS USER TYPE:NAME:PATTERN:OPERATION… */
class Acls {
    public static void main(String[] args) throws Exception {
        try (var admin = Admin.create(Map.<String, Object>of("bootstrap.servers", args[0]))) {
            for (var right : List.of(args).subList(2, args.length)) {
                var part = right.split(":");
                var resource = new ResourcePattern(
                    ResourceType.valueOf(part[0]), part[1], PatternType.valueOf(part[2]));
                var entry = new AccessControlEntry(
                    "User:" + args[1], "*", AclOperation.valueOf(part[3]), AclPermissionType.ALLOW);
                admin.createAcls(List.of(new AclBinding(resource, entry))).all().get();
            }
        }
    }
}
