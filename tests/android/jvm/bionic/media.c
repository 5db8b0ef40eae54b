/* Names that OpenCV's video and bitmap code wants at load time; nothing here is called by the app. For tests only. */
#include <stdlib.h>

#define KEY(name) const char *AMEDIAFORMAT_KEY_##name = #name
#define NEVER(name) \
  void name(void) { abort(); }

KEY(BIT_RATE);
KEY(COLOR_FORMAT);
KEY(FRAME_RATE);
KEY(HEIGHT);
KEY(I_FRAME_INTERVAL);
KEY(MIME);
KEY(STRIDE);
KEY(WIDTH);

NEVER(AMediaCodec_configure)
NEVER(AMediaCodec_createDecoderByType)
NEVER(AMediaCodec_createEncoderByType)
NEVER(AMediaCodec_delete)
NEVER(AMediaCodec_dequeueInputBuffer)
NEVER(AMediaCodec_dequeueOutputBuffer)
NEVER(AMediaCodec_getInputBuffer)
NEVER(AMediaCodec_getOutputBuffer)
NEVER(AMediaCodec_getOutputFormat)
NEVER(AMediaCodec_queueInputBuffer)
NEVER(AMediaCodec_releaseOutputBuffer)
NEVER(AMediaCodec_start)
NEVER(AMediaCodec_stop)
NEVER(AMediaExtractor_advance)
NEVER(AMediaExtractor_delete)
NEVER(AMediaExtractor_getSampleTime)
NEVER(AMediaExtractor_getTrackCount)
NEVER(AMediaExtractor_getTrackFormat)
NEVER(AMediaExtractor_new)
NEVER(AMediaExtractor_readSampleData)
NEVER(AMediaExtractor_selectTrack)
NEVER(AMediaExtractor_setDataSourceFd)
NEVER(AMediaFormat_delete)
NEVER(AMediaFormat_getInt32)
NEVER(AMediaFormat_getString)
NEVER(AMediaFormat_new)
NEVER(AMediaFormat_setFloat)
NEVER(AMediaFormat_setInt32)
NEVER(AMediaFormat_setString)
NEVER(AMediaFormat_toString)
NEVER(AMediaMuxer_addTrack)
NEVER(AMediaMuxer_delete)
NEVER(AMediaMuxer_new)
NEVER(AMediaMuxer_setOrientationHint)
NEVER(AMediaMuxer_start)
NEVER(AMediaMuxer_stop)
NEVER(AMediaMuxer_writeSampleData)
NEVER(AndroidBitmap_getInfo)
NEVER(AndroidBitmap_lockPixels)
NEVER(AndroidBitmap_unlockPixels)
