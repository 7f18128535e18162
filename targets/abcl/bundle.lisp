;;;; Loads the probe and writes what the JVM needs to start it again: classes.jar
;;;; with the class of every Lisp function, ABCL's and the probe's, and the folder
;;;; forms/ with what each compiled file does when it is loaded. Run in the
;;;; module's root.
;;;;
;;;; ABCL keeps the classes of compiled functions as *.cls, and its own class
;;;; loaders define them one by one at every start. But before they do, they ask
;;;; the application's class loader (JavaClassLoader.findPrecompiledClassOrNull):
;;;; it finds *.class on the class path, and its classes are those that the JVM
;;;; can keep in an archive (class data sharing).

(require "asdf")

(defvar *loaded* '() "The compiled files that the probe needs at every start, the last one first.")

(defun needed-p (system file)
  "ABCL-ASDF and what it depends on only find JNA's classes, which are on the class
path. Two encodings take BABEL five seconds to load, and nothing uses them."
  (cond ((equal system "babel")
         (not (member file '("enc-gbk" "gbk-map" "enc-jpn" "jpn-table") :test #'equal)))
        (t (not (member system '("abcl-asdf" "abcl-build") :test #'equal)))))

(defmethod asdf:perform :after ((operation asdf:load-op) (file asdf:cl-source-file))
  (when (needed-p (asdf:component-name (asdf:component-system file))
                  (asdf:component-name file))
    (push (first (asdf:input-files operation file)) *loaded*)))

(load "targets/lisp/load.lisp")

(defun new (class &rest arguments) (apply #'java:jnew class arguments))

(defun output-file (control &rest arguments)
  (apply #'format nil (concatenate 'string "~a/" control) (uiop:getenv "PROBE_OUTPUT") arguments))

(defun add-class (name stream jar)
  (java:jcall "putNextEntry" jar (new "java.util.zip.ZipEntry" name))
  (java:jcall "transferTo" stream jar)
  (java:jcall "closeEntry" jar))

(defun add-classes (path jar forms)
  "Copy every *.cls of the zip file PATH to the stream JAR, a class of ABCL's package,
and __loader__._ to the file FORMS. A name that comes twice ends the build
(ZipException): the JVM would take one function for another."
  (let* ((zip (new "java.util.zip.ZipFile" (namestring path)))
         (entries (java:jcall "entries" zip)))
    (loop while (java:jcall "hasMoreElements" entries)
          do (let* ((entry (java:jcall "nextElement" entries))
                    (stream (java:jcall "getInputStream" zip entry))
                    (name (java:jcall "getName" entry))
                    (type (pathname-type name)))
               (cond ((equal type "cls")
                      (add-class (format nil "org/armedbear/lisp/~a.class"
                                         (subseq name (1+ (or (position #\/ name :from-end t) -1))
                                                 (- (length name) (length ".cls"))))
                                 stream jar))
                     ((and forms (equal name "__loader__._"))
                      (java:jstatic "copy" "java.nio.file.Files" stream
                                    (java:jcall "toPath" (new "java.io.File" forms))
                                    (java:jnew-array "java.nio.file.CopyOption" 0))))))
    (java:jcall "close" zip)))

(defun compiled (name)
  "The compiled file of one of targets/lisp that ASDF knows nothing of."
  (compile-file (format nil "targets/lisp/~a.lisp" name)
                :output-file (format nil "~a/~a.abcl" (uiop:getenv "ZMQMATRIX_CACHE") name)))

(defun files ()
  (append (list (compiled "loading"))
          (reverse *loaded*)
          (when (uiop:getenv "PROBE_TESTS") (list (compiled "tests")))))

(defun write-loading (path)
  "Write a form that sets what was seen at loading: this image is not kept."
  (with-open-file (out path :direction :output)
    (with-standard-io-syntax
      (do-symbols (symbol "ZMQMATRIX.LOADING")
        (when (and (eq (symbol-package symbol) (find-package "ZMQMATRIX.LOADING"))
                   (boundp symbol))
          (prin1 `(setf ,symbol ',(symbol-value symbol)) out)
          (terpri out))))))

(defun write-asdf (path)
  "Write a form that loads ASDF, which a binding from elsewhere may call when it is
loaded (UIOP:DEFINE-PACKAGE does)."
  (with-open-file (out path :direction :output)
    (write-line "(require \"asdf\")" out)))

(defun write-packages (path)
  "Write a form that makes ASDF's packages with the names of their external symbols
and nothing behind them. Compiled files of our own name a few of these; to load ASDF
for that takes a third of the start."
  (with-open-file (out path :direction :output)
    (with-standard-io-syntax
      (prin1 `(dolist (description
                       ',(loop for package in (list-all-packages)
                               for name = (package-name package)
                               when (or (eql (search "ASDF" name) 0) (eql (search "UIOP" name) 0))
                                 collect (cons name (loop for symbol being the external-symbols
                                                            of package
                                                          when (eq (symbol-package symbol) package)
                                                            collect (symbol-name symbol)))))
                (let ((package (make-package (first description) :use '("COMMON-LISP"))))
                  (dolist (name (rest description))
                    (export (intern name package) package))))
             out))))

(ensure-directories-exist (output-file "forms/"))
(if (member (uiop:getenv "ZMQMATRIX_SYSTEMS") '(nil "") :test #'equal)
    (write-packages (output-file "forms/000-asdf.abcl"))
    (write-asdf (output-file "forms/000-asdf.abcl")))
(write-loading (output-file "forms/001-seen.abcl"))
(let ((jar (new "java.util.zip.ZipOutputStream"
                (new "java.io.FileOutputStream" (output-file "classes.jar")))))
  ;; Not to be unpacked at every start.
  (java:jcall "setLevel" jar 0)
  (add-classes (uiop:getenv "ABCL_JAR") jar nil)
  (loop for file in (files)
        for number from 1
        do (add-classes file jar (output-file "forms/~3,'0d.abcl" number)))
  (java:jcall "close" jar))
