package peers.hadoop;

import org.apache.hadoop.fs.Path;
import org.apache.hadoop.fs.RawLocalFileSystem;
import org.apache.hadoop.fs.permission.FsPermission;

/**
 * Hadoop's local file system without the chmod processes that it starts for each file where libhadoop.so is missing, and without
 * checksum files beside each file: neither is there on a cluster's HDFS or object store.
 */
public final class PlainLocalFileSystem extends RawLocalFileSystem {
    @Override
    public void setPermission(Path path, FsPermission permission) {}
}
