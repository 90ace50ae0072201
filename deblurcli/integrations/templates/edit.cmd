@echo off
rem Made by 'deblur integrate', which may replace this file.
rem Removes defocus blur from the photos named: NAME-deblurred.tif, 16 bit, appears beside each. Originals are not touched.
chcp 65001 >nul
@DEBLUR@ --format tiff --depth 16 -- %*
if errorlevel 1 pause
