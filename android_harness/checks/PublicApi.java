import java.io.File;
import java.io.FileInputStream;
import java.io.InputStream;
import java.util.Collections;
import java.util.HashSet;
import java.util.Set;
import org.codehaus.mojo.animal_sniffer.SignatureChecker;
import org.codehaus.mojo.animal_sniffer.logging.PrintWriterLogger;

/**
 * Checks that classes call the public API of one Android level only:
 * {@code java -cp animal-sniffer.jar:asm.jar PublicApi.java SIGNATURE CLASSES PACKAGE…}. What is marked
 * {@code @TargetApi} is left out, as are calls into the given packages. Ends with 1 where a call is not public.
 */
final class PublicApi {
  public static void main(String[] arguments) throws Exception {
    Set<String> others = new HashSet<>();
    for (int i = 2; i < arguments.length; i++) {
      others.add(arguments[i]);
    }
    try (InputStream signature = new FileInputStream(arguments[0])) {
      SignatureChecker checker = new SignatureChecker(signature, others, new PrintWriterLogger(System.out));
      checker.setSourcePath(Collections.<File>emptyList());
      checker.setAnnotationTypes(Collections.singleton("android.annotation.TargetApi"));
      checker.process(new File(arguments[1]));
      System.exit(checker.isSignatureBroken() ? 1 : 0);
    }
  }
}
