import java.io.InputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;

/**
 * Echoes a number of bytes of each connection, and reads only as many bytes as available() returns.
 * Java asks the kernel with FIONREAD.
 */
public class Available {
  public static void main(String[] arguments) throws Exception {
    int port = Integer.parseInt(arguments[0]), bytes = Integer.parseInt(arguments[1]);
    try (var listener = new ServerSocket(port, 100, InetAddress.getByName("127.0.0.1"))) {
      System.out.println("listening");
      for (;;) {
        Socket connection = listener.accept();
        new Thread(() -> echo(connection, bytes)).start();
      }
    }
  }

  static void echo(Socket connection, int bytes) {
    try (connection) {
      // With a time limit Java polls and reads without blocking.
      connection.setSoTimeout(60_000);
      InputStream in = connection.getInputStream();
      // This read waits for the first byte and shows the bypass how this program reads.
      connection.getOutputStream().write(in.read());
      for (int left = bytes - 1; left > 0; ) {
        int there = in.available();
        if (there == 0) Thread.sleep(1);
        else connection.getOutputStream().write(in.readNBytes(there));
        left -= there;
      }
      if (in.read() >= 0) throw new IllegalStateException("more than was announced");
    } catch (Exception error) {
      System.err.println(error);
    }
  }
}
