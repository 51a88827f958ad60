/* Runs a bundle of hwnas on LiDAR scans, from C and from whatever calls C. See runtime.hpp for the same in C++.
 *
 * Functions return a status. None throws, and none ends the process. After a status other than HWNAS_OK,
 * hwnas_last_error() says what was expected, what was found and what to do. */

#ifndef HWNAS_RUNTIME_H_
#define HWNAS_RUNTIME_H_

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#define HWNAS_RUNTIME_API __declspec(dllexport)
#else
#define HWNAS_RUNTIME_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* The numbers are the exit codes of hwnas. */
typedef enum hwnas_status {
  HWNAS_OK = 0,
  HWNAS_ERROR_INTERNAL = 1,     /* a defect of the library, or no memory */
  HWNAS_ERROR_ARGUMENT = 2,     /* an argument is wrong */
  HWNAS_ERROR_DATA = 3,         /* a scan cannot be used, or contradicts what the network was trained on */
  HWNAS_ERROR_BUNDLE = 7,       /* a bundle is incomplete, changed or made for something else */
  HWNAS_ERROR_PLUGIN = 9,       /* a bundle is for something else than LiDAR points */
  HWNAS_ERROR_FILE_ACCESS = 10  /* the operating system refuses a file */
} hwnas_status;

typedef struct hwnas_runner hwnas_runner;

typedef struct hwnas_options {
  size_t size;                     /* of this struct: hwnas_options_init sets it */
  const char* precision;           /* fp32 */
  const char* onnxruntime_library; /* null: HWNAS_ONNXRUNTIME_LIBRARY, or what the loader finds */
  int32_t threads;                 /* of one inference; 1. 0: one for every core; at most 64, or 4 for each core */
  int32_t check_scans;             /* 1; 0 takes scans that contradict the manifest, too */
  const char* allowed_signers;     /* null takes unsigned bundles; else a file of keys, see ssh-keygen(1) */
  const char* identity;            /* who must have signed; given with allowed_signers, null without it */
  const char* backend;             /* onnxruntime; or tensorrt or tensorrt-rtx, if the library was built with it */
} hwnas_options;

typedef struct hwnas_scan {
  size_t size;             /* of this struct: hwnas_scan_init sets it */
  const float* points;     /* [count][3]: x forward, y left, z up in metres */
  const float* intensity;  /* [count], in the sensor's own unit */
  size_t count;            /* which may be 0 */
  const int32_t* ring;     /* [count] as a driver numbers them, from either end; or null */
  const double* time;      /* [count] when each point was measured, in any unit; or null */
  size_t point_stride;     /* floats from one point to the next; 3 */
  size_t intensity_stride; /* floats from one intensity to the next; 1 */
} hwnas_scan;

/* Sets what is usual. */
HWNAS_RUNTIME_API void hwnas_options_init(hwnas_options* options);
HWNAS_RUNTIME_API void hwnas_scan_init(hwnas_scan* scan);

/* Checks a bundle, every file of it, and loads its network. options: null for what is usual. */
HWNAS_RUNTIME_API hwnas_status hwnas_runner_create(const char* bundle, const hwnas_options* options,
                                                   hwnas_runner** runner);
/* Null is ignored. */
HWNAS_RUNTIME_API void hwnas_runner_destroy(hwnas_runner* runner);

/* Labels one scan. Several threads may call it for one runner; they wait for each other.
 *
 * labels  out, [count]: index of the class, 255 for none
 * scores  out, [count]: probability of the label in the pixel of the point, 0 for label 255; or null */
HWNAS_RUNTIME_API hwnas_status hwnas_runner_label(hwnas_runner* runner, const hwnas_scan* scan, uint8_t* labels,
                                                  float* scores);

/* About this thread's last scan, if this runner labelled it; else 0 warnings and null. Warnings say what is unusual
 * about it or could not be checked; the projection is how rows of its image were found: ring, beams or spherical.
 * Texts live until this thread labels another scan. */
HWNAS_RUNTIME_API size_t hwnas_runner_num_warnings(const hwnas_runner* runner);
HWNAS_RUNTIME_API const char* hwnas_runner_warning(const hwnas_runner* runner, size_t number);
HWNAS_RUNTIME_API const char* hwnas_runner_projection(const hwnas_runner* runner);

HWNAS_RUNTIME_API size_t hwnas_runner_num_classes(const hwnas_runner* runner);
/* Null for a number that no class has. */
HWNAS_RUNTIME_API const char* hwnas_runner_class_name(const hwnas_runner* runner, size_t number);
/* Ids [count] of labels [count], as files of the label map's data set hold them. */
HWNAS_RUNTIME_API hwnas_status hwnas_runner_raw_ids(const hwnas_runner* runner, const uint8_t* labels, size_t count,
                                                    uint32_t* ids);

/* What was wrong with the last call of this thread that failed; UTF-8, until the next one fails. */
HWNAS_RUNTIME_API const char* hwnas_last_error(void);

/* Version of this library: that of hwnas. */
HWNAS_RUNTIME_API const char* hwnas_runtime_version(void);

#ifdef __cplusplus
}
#endif

#endif /* HWNAS_RUNTIME_H_ */
